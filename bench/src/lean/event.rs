//! Events of a watch that say when they were sent.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A line, with its end: as long as that of a small object.
pub const EVENT_BYTES: usize = 512;
/// Between two events of a watch.
pub const INTERVAL: Duration = Duration::from_millis(100);

const BEFORE: &str = "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Pod\",\"sent\":\"";
/// Of the time: nanoseconds.
const DIGITS: usize = 20;
const AFTER: &str = "\",\"rest\":\"";
const END: &str = "\"}}\n";

/// Both ends are in this process, and share its clock.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The event of now.
pub fn event() -> [u8; EVENT_BYTES] {
    let mut line = [b'x'; EVENT_BYTES];
    let sent = format!("{:0DIGITS$}", START.elapsed().as_nanos());
    let mut at = 0;
    for part in [BEFORE, &sent, AFTER] {
        line[at..at + part.len()].copy_from_slice(part.as_bytes());
        at += part.len();
    }
    line[EVENT_BYTES - END.len()..].copy_from_slice(END.as_bytes());
    line
}

/// Reads events out of a watch's bytes, however these come.
#[derive(Debug, Default)]
pub struct Events {
    /// The beginning of a line.
    line: Vec<u8>,
}

impl Events {
    /// Calls `arrived` with how long each event that is now whole was under way.
    pub fn read(&mut self, mut bytes: &[u8], mut arrived: impl FnMut(Duration)) -> Result<()> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (rest, next) = bytes.split_at(end + 1);
            self.line.extend(rest);
            arrived(under_way(&self.line)?);
            self.line.clear();
            bytes = next;
        }
        ensure!(
            self.line.len() + bytes.len() < EVENT_BYTES,
            "an event is too long"
        );
        self.line.extend(bytes);
        Ok(())
    }
}

fn under_way(line: &[u8]) -> Result<Duration> {
    let digits = line.get(BEFORE.len()..BEFORE.len() + DIGITS);
    let sent = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let sent = Duration::from_nanos(sent.context("what came is no event")?);
    Ok(START.elapsed().saturating_sub(sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_come() {
        let both = [event(), event()].concat();
        for piece in [1, 7, EVENT_BYTES, EVENT_BYTES + 1, both.len()] {
            let (mut events, mut count) = (Events::default(), 0);
            for piece in both.chunks(piece) {
                let arrived = |under_way| {
                    assert!(under_way < Duration::from_secs(20));
                    count += 1;
                };
                events.read(piece, arrived).unwrap();
            }
            assert_eq!(count, 2);
        }
        let refused = Events::default().read(b"{}\n", |_| {});
        assert!(refused.is_err());
    }
}
