//! Addresses that are one party's.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 of an IPv6 address: a single host has all of the
/// 2⁶⁴ addresses in it to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressBlock(IpAddr);

/// An IPv4 address, or the /48 of an IPv6 address: what one customer gets at most,
/// with 65,536 blocks to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network(IpAddr);

impl From<IpAddr> for AddressBlock {
    fn from(address: IpAddr) -> Self {
        Self(masked(address, 64))
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(masked(address, 48))
    }
}

/// The first bits of an IPv6 address, the others 0.
fn masked(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits))).into()
        }
        v4 => v4,
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(address: &str) -> AddressBlock {
        address.parse::<IpAddr>().unwrap().into()
    }

    fn network(address: &str) -> Network {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_host_cannot_pose_as_many() {
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:1:2"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
        assert_eq!(block("192.0.2.1"), block("::ffff:192.0.2.1"));
        assert_ne!(block("192.0.2.1"), block("192.0.2.2"));
    }

    #[test]
    fn nor_can_who_has_many_blocks() {
        assert_eq!(network("2001:db8::1"), network("2001:db8:0:ffff::1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn a_block_is_written_as_what_it_is() {
        assert_eq!(block("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(block("2001:db8::7").to_string(), "2001:db8::/64");
    }
}
