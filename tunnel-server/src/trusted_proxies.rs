//! The load balancers whose word is believed of where a request comes from.

use std::net::IpAddr;
use std::ops::ControlFlow;

use http::HeaderMap;
use ipnet::IpNet;

use crate::client_address::ClientAddress;
use crate::forwarded::ForwardedHeader;

/// Who they are, and where they write it down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies {
    pub(crate) networks: Vec<IpNet>,
    pub(crate) header: ForwardedHeader,
}

impl TrustedProxies {
    /// Whether that address is one of theirs.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// Where a request comes from that one of them has sent: the last address on its
    /// way that is none of theirs. What stands before it may be made up. Where they
    /// do not say, it is the last of theirs that is known.
    pub(crate) fn client(&self, headers: &HeaderMap, proxy: ClientAddress) -> ClientAddress {
        let mut client = proxy;
        self.header.back(headers, |hop| {
            let Some(hop) = hop else {
                return ControlFlow::Break(());
            };
            client = hop;
            match self.has(hop.ip()) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        client
    }
}

/// An address, or a block of them.
///
/// # Errors
/// What is expected.
pub(crate) fn network(text: &str) -> Result<IpNet, &'static str> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse()
            .map_err(|_| "is neither an address nor a block of them, like 10.0.0.0/24")?,
    };
    if network.prefix_len() == 0 {
        return Err("is everybody, who could then claim any address; name the load balancers'");
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::FORWARDED;

    use super::*;
    use crate::forwarded::X_FORWARDED_FOR;

    fn proxies(header: ForwardedHeader) -> TrustedProxies {
        let networks = ["10.0.0.0/24", "10.1.0.1", "2001:db8:1::/48"];
        TrustedProxies {
            networks: networks.map(|text| network(text).unwrap()).to_vec(),
            header,
        }
    }

    fn client(header: ForwardedHeader, for_line: &str, forwarded: &str) -> String {
        let mut headers = HeaderMap::new();
        for (name, line) in [(X_FORWARDED_FOR, for_line), (FORWARDED, forwarded)] {
            if !line.is_empty() {
                headers.insert(name, HeaderValue::from_str(line).unwrap());
            }
        }
        let proxy = ClientAddress::from(std::net::SocketAddr::from(([10, 0, 0, 9], 7)));
        proxies(header).client(&headers, proxy).to_string()
    }

    #[test]
    fn the_last_address_that_is_not_trusted() {
        for (line, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("1.2.3.4, 192.0.2.1", "192.0.2.1"),
            ("1.2.3.4, 192.0.2.1, 10.0.0.1, 10.1.0.1", "192.0.2.1"),
            // Whoever sends them is not among them.
            ("10.0.0.1, 10.0.0.2, 192.0.2.1", "192.0.2.1"),
            ("2001:db8:2::1, 2001:db8:1::9", "2001:db8:2::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1"),
            // All are.
            ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
            // One hides where it came from: no guess goes beyond it.
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.1, garbage", "10.0.0.9:7"),
            ("", "10.0.0.9:7"),
        ] {
            let got = client(ForwardedHeader::XForwardedFor, line, "");
            assert_eq!(got, expected, "{line}");
        }
        let line = r#"for=1.2.3.4, for="[2001:db8:2::1]:9";proto=http, for=10.0.0.3"#;
        let got = client(ForwardedHeader::Forwarded, "", line);
        assert_eq!(got, "[2001:db8:2::1]:9");
    }

    #[test]
    fn only_the_header_that_they_write_counts() {
        let (theirs, forged) = ("192.0.2.1", "for=1.2.3.4");
        let got = client(ForwardedHeader::XForwardedFor, theirs, forged);
        assert_eq!(got, theirs);
        let got = client(ForwardedHeader::Forwarded, "1.2.3.4", "for=192.0.2.1");
        assert_eq!(got, theirs);
    }

    #[test]
    fn everybody_is_nobody_to_trust() {
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/33", "example.com", ""] {
            network(text).unwrap_err();
        }
    }
}
