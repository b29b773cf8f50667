//! Where a request or a link comes from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

/// An address, and its port where that is known: of a connection always, while load
/// balancers mostly tell the address alone. IPv4 is never written as IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    ip: IpAddr,
    port: Option<u16>,
}

impl ClientAddress {
    pub(crate) fn ip(self) -> IpAddr {
        self.ip
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip().to_canonical(),
            port: Some(address.port()),
        }
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(ip: IpAddr) -> Self {
        Self {
            ip: ip.to_canonical(),
            port: None,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl Serialize for ClientAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_written_as_people_know_it() {
        let connected = |text: &str| ClientAddress::from(text.parse::<SocketAddr>().unwrap());
        let told = |text: &str| ClientAddress::from(text.parse::<IpAddr>().unwrap());
        for (address, written) in [
            (connected("192.0.2.1:7"), "192.0.2.1:7"),
            (connected("[::ffff:192.0.2.1]:7"), "192.0.2.1:7"),
            (connected("[2001:db8::1]:7"), "[2001:db8::1]:7"),
            (told("192.0.2.1"), "192.0.2.1"),
            (told("::ffff:192.0.2.1"), "192.0.2.1"),
            (told("2001:db8::1"), "2001:db8::1"),
        ] {
            assert_eq!(address.to_string(), written);
        }
    }
}
