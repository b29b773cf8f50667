//! `NO_PROXY`: servers that are reached without a proxy.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::proxy::matcher::Matcher;

/// Whether the list names the server.
pub(super) fn excepted(server: &Uri, list: &str) -> bool {
    let port = server
        .port_u16()
        .unwrap_or(if server.scheme() == Some(&Scheme::HTTP) {
            80
        } else {
            443
        });
    let exceptions: Vec<_> = list
        .split([',', ' ', '\t', '\n'])
        .filter_map(|entry| exception(entry, port))
        .collect();
    // The matcher takes it for names only.
    if exceptions.iter().any(|entry| entry == "*") {
        return true;
    }
    let matcher = Matcher::builder()
        .all("http://proxy.invalid")
        .no(exceptions.join(","))
        .build();
    matcher.intercept(server).is_none()
}

/// An entry in the form that the matcher knows, which has neither ports nor
/// `*.`; nothing where it is about another port.
fn exception(entry: &str, port: u16) -> Option<String> {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let entry = match entry.rsplit_once(':') {
        Some((host, its_port)) if !is_address(entry) && !entry.contains('/') => {
            match its_port.parse::<u16>() {
                Ok(its_port) if its_port != port => return None,
                Ok(_) => host,
                Err(_) => entry,
            }
        }
        _ => entry,
    };
    // Also those of a network in brackets.
    let entry = entry.replace(['[', ']'], "");
    let entry = entry.as_str();
    Some(
        entry
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(entry)
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_excepts() {
        for (server, list, is_excepted) in [
            ("https://clusters.example.com", "", false),
            ("https://clusters.example.com", "*", true),
            ("https://clusters.example.com", "example.com", true),
            ("https://clusters.example.com", ".example.com", true),
            ("https://clusters.example.com", "*.example.com", true),
            (
                "https://clusters.example.com",
                "a, clusters.example.com",
                true,
            ),
            ("https://clusters.example.com", "a b\texample.com", true),
            ("https://clusters.example.com", "ample.com", false),
            (
                "https://clusters.example.com",
                "clusters.example.com:443",
                true,
            ),
            (
                "https://clusters.example.com",
                "clusters.example.com:8443",
                false,
            ),
            (
                "https://clusters.example.com:8443",
                "*.example.com:8443",
                true,
            ),
            ("https://10.1.2.3", "10.0.0.0/8", true),
            ("https://10.1.2.3", "10.1.2.3:443", true),
            ("https://11.1.2.3", "10.0.0.0/8", false),
            ("https://[fd00::1]", "fd00::/8", true),
            ("https://[fd00::1]", "[fd00::1]:443", true),
            ("https://[fd00::1]", "fd00::1", true),
            ("https://[fd00::1]:8443", "[fd00::1]:443", false),
            ("http://10.1.2.3", "10.1.2.3:80", true),
            // All there is: names, addresses, one port.
            ("https://clusters.example.com", "a, *", true),
            ("https://10.1.2.3", "*", true),
            ("https://[fd00::1]", "*", true),
            ("https://10.1.2.3", "*:443", true),
            ("https://10.1.2.3", "*:8443", false),
            // Case, the port that goes without saying, a dot with a port.
            ("https://Clusters.Example.com", "CLUSTERS.example.COM", true),
            ("https://clusters.example.com", ".EXAMPLE.com", true),
            ("https://clusters.example.com", ".example.com:443", true),
            ("https://clusters.example.com:443", "example.com:443", true),
            ("http://clusters.example.com", "example.com:443", false),
            // A name is no part of another, nor the other way round.
            ("https://example.com", "clusters.example.com", false),
            ("https://badexample.com", "example.com", false),
            ("https://example.com", ".example.com", true),
            // Networks: with host bits, of one address, of all, of the other family.
            ("https://10.1.2.3", "10.1.2.3/8", true),
            ("https://10.1.2.3", "10.1.2.3/32", true),
            ("https://10.1.2.4", "10.1.2.3/32", false),
            ("https://10.1.2.3", "0.0.0.0/0", true),
            ("https://10.1.2.3", "::/0", false),
            ("https://[fd00:1::9]", "fd00:1::/32", true),
            ("https://[fd00:1::9]", "[fd00:1::]/32", true),
            ("https://[fd01:1::9]", "fd00:1::/32", false),
            ("https://[fd00::1]", "FD00:0:0:0:0:0:0:1", true),
            // What is none is passed over.
            ("https://10.1.2.3", "10.0.0.0/33, 10.1.2.3", true),
            ("https://10.1.2.3", "10.0.0.0/33,,/8,:,", false),
            // An address is no name's end, and a name's address is not looked up.
            ("https://10.1.2.3", "2.3", false),
            ("https://localhost", "127.0.0.0/8", false),
        ] {
            let server = server.parse().unwrap();
            assert_eq!(
                excepted(&server, list),
                is_excepted,
                "{server} with {list:?}"
            );
        }
    }
}
