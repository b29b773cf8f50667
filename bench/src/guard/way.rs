//! What is done again and again, by one caller on one connection, so that as little as
//! can be depends on who comes first.

use anyhow::{Result, ensure};

use crate::generator::{Connection, Entry};
use crate::lean::event::Events;
use crate::lean::origin::{bulk, events_every};
use crate::origin::SMALL;

/// Between two events: each is under way alone, even under callgrind.
const EVENT_MS: u64 = 4;
const MEGABYTE: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Request,
    WatchEvent,
    Megabyte,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Request, Self::WatchEvent, Self::Megabyte];

    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "requests",
            Self::WatchEvent => "watch events",
            Self::Megabyte => "megabytes",
        }
    }

    /// In the two runs.
    pub(super) fn amounts(self) -> (u64, u64) {
        match self {
            Self::Request => (200, 1200),
            Self::WatchEvent => (100, 2100),
            Self::Megabyte => (4, 36),
        }
    }

    pub(super) async fn go(self, entry: &Entry, amount: u64) -> Result<()> {
        match self {
            Self::Request => {
                let (mut caller, request) = (Connection::open(entry).await?, entry.get(SMALL));
                for _ in 0..amount {
                    caller.exchange(&request).await?;
                }
                Ok(())
            }
            Self::WatchEvent => watch(entry, amount).await,
            Self::Megabyte => {
                let length = amount * MEGABYTE;
                let mut caller = Connection::for_bulk(entry).await?;
                let got = caller.exchange(&entry.get(&bulk(length))).await?;
                ensure!(got == length, "{got} bytes of {length} came");
                Ok(())
            }
        }
    }
}

async fn watch(entry: &Entry, amount: u64) -> Result<()> {
    let (mut caller, mut head) = Connection::streaming(entry, &events_every(EVENT_MS)).await?;
    let (mut events, mut come, mut faults) = (Events::default(), 0, Ok(()));
    while come < amount {
        let more = caller.next(&mut head.body, |piece| {
            if let Err(fault) = events.read(piece, |_| come += 1) {
                faults = Err(fault);
            }
        });
        ensure!(more.await?, "the watch ended");
        std::mem::replace(&mut faults, Ok(()))?;
    }
    Ok(())
}
