//! Requests without a line of their own: strangers who send more than they may
//! would fill the disk with them. They have a line together, for each address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::sleep;

use super::line::{UnwrittenLine, written};
use super::queue::{Audit, Entry};
use crate::limits::AddressBlock;

/// How often they are told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Addresses that have a line of their own each time; all others share one.
const ADDRESSES: usize = 100;

/// Those of the time since they were told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwritten(Arc<Mutex<Counts>>);

/// Under nothing those of addresses that are too many.
type Counts = HashMap<Option<AddressBlock>, u64>;

/// A line to be.
pub(super) struct UnwrittenEvent {
    at: OffsetDateTime,
    address: Option<String>,
    requests: u64,
}

impl Unwritten {
    fn count(&self, address: AddressBlock) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_line = counts.len() < ADDRESSES || counts.contains_key(&Some(address));
        *counts.entry(has_line.then_some(address)).or_default() += 1;
    }

    fn take(&self) -> Counts {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Audit {
    /// A request of there ended before it proved anything, and has no line.
    pub(crate) fn unwritten(&self, address: AddressBlock) {
        self.unwritten.count(address);
    }

    /// Tells them from time to time. Runs until it is dropped.
    pub(crate) async fn follow_unwritten(&self) {
        loop {
            sleep(TELL_EVERY).await;
            self.tell_unwritten().await;
        }
    }

    /// Where the log cannot be written nobody waits for them: the metric has them.
    pub(super) async fn tell_unwritten(&self) {
        for (address, requests) in self.unwritten.take() {
            let Ok(slot) = self.slot().await else { return };
            slot.tell(Entry::Unwritten(Box::new(UnwrittenEvent {
                at: OffsetDateTime::now_utc(),
                address: address.map(|address| address.to_string()),
                requests,
            })));
        }
    }
}

impl UnwrittenEvent {
    pub(super) fn line(&self) -> UnwrittenLine<'_> {
        UnwrittenLine {
            event: "unwritten",
            time: written(self.at),
            address: self.address.as_deref(),
            requests: self.requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn addresses_that_are_too_many_share_a_line() {
        let unwritten = Unwritten::default();
        let first = IpAddr::from([192, 0, 2, 1]).into();
        unwritten.count(first);
        for number in 0..1000_u16 {
            let [high, low] = number.to_be_bytes();
            unwritten.count(IpAddr::from([10, 0, high, low]).into());
        }
        unwritten.count(first);
        let counts = unwritten.take();
        assert_eq!(counts[&Some(first)], 2);
        assert!(counts.len() <= ADDRESSES + 1, "{} lines", counts.len());
        assert_eq!(counts.values().sum::<u64>(), 1002);
        assert!(unwritten.take().is_empty());
    }
}
