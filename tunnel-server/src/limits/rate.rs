//! Rates by key: GCRA, as `governor` has it.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::address_block::{AddressBlock, Network};

/// At most so many in a time, each key for itself.
#[derive(Debug)]
pub(super) struct Rate<K: Clone + Eq + Hash> {
    /// Nothing where there is no limit.
    limiter: Option<DefaultKeyedRateLimiter<K>>,
}

impl<K: Clone + Eq + Hash> Rate<K> {
    /// `count` in each second, twice as many in a burst; 0 is no limit.
    pub(super) fn per_second(count: u32) -> Self {
        Self::new(count, |count| {
            Quota::per_second(count).allow_burst(count.saturating_mul(TWO))
        })
    }

    /// `count` in each minute, all of them in a burst; 0 is no limit.
    pub(super) fn per_minute(count: u32) -> Self {
        Self::new(count, Quota::per_minute)
    }

    fn new(count: u32, quota: impl FnOnce(NonZeroU32) -> Quota) -> Self {
        let limiter = NonZeroU32::new(count).map(|count| RateLimiter::keyed(quota(count)));
        Self { limiter }
    }

    /// Counts one; the error is how long to wait.
    pub(super) fn count(&self, key: &K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter
            .check_key(key)
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    /// Forgets the keys whose rate has long been free again.
    pub(super) fn forget_the_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// What addresses may do: each block, and a network of blocks some times as much.
#[derive(Debug)]
pub(super) struct AddressRate {
    blocks: Rate<AddressBlock>,
    networks: Rate<Network>,
}

impl AddressRate {
    /// As [`Rate::per_minute`].
    pub(super) fn per_minute(count: u32) -> Self {
        Self {
            blocks: Rate::per_minute(count),
            networks: Rate::per_minute(count.saturating_mul(NETWORKS_SHARE)),
        }
    }

    /// As [`Rate::count`].
    pub(super) fn count(&self, address: IpAddr) -> Result<(), Duration> {
        self.blocks.count(&address.into())?;
        self.networks.count(&address.into())
    }

    pub(super) fn forget_the_idle(&self) {
        self.blocks.forget_the_idle();
        self.networks.forget_the_idle();
    }
}

/// How many times what one block may take its whole network may.
pub(super) const NETWORKS_SHARE: u32 = 4;

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_wait_is_told() {
        let rate = Rate::per_second(2);
        for _ in 0..4 {
            rate.count(&"a").unwrap();
        }
        let wait = rate.count(&"a").unwrap_err();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        rate.count(&"b").unwrap();
    }

    #[test]
    fn a_network_of_many_blocks_is_limited_too() {
        let rate = AddressRate::per_minute(1);
        let address = |block: u16| IpAddr::from([0x2001, 0xdb8, 0, block, 0, 0, 0, 1]);
        for block in 0..4 {
            rate.count(address(block)).unwrap();
        }
        rate.count(address(4)).unwrap_err();
        rate.count([0x2001, 0xdb8, 1, 4, 0, 0, 0, 1].into())
            .unwrap();
    }

    #[test]
    fn none_is_no_limit() {
        let rate = Rate::per_minute(0);
        assert!((0..10_000).all(|_| rate.count(&()).is_ok()));
    }
}
