//! Without TLS whoever is on the network reads tokens, so that only a load balancer
//! close by may be on it.

use std::net::{IpAddr, SocketAddr};

use crate::config::file::Settings;
use crate::proxy_protocol::ProxyProtocol;

/// Warns where nothing says that there is a load balancer in front.
pub(crate) fn warn_if_open(listen: SocketAddr, settings: &Settings) {
    let is_behind_others = !settings.trusted_proxies.networks.is_empty()
        || settings.proxy_protocol == ProxyProtocol::Required;
    if !is_private(listen.ip()) && !is_behind_others {
        tracing::warn!(
            %listen,
            "PLAIN HTTP on an address that anybody may reach: tokens and answers can be read \
             on the way. Listen on a private address, and name the load balancer that ends \
             TLS in trustedProxies"
        );
    }
}

/// Whether only this machine or its own network has it.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("192.168.0.1", true),
            ("169.254.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:10.0.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }
}
