//! Follows the framing of a connection's requests. No I/O.

use super::chunks::Chunks;
use super::fault::Fault;
use super::head::{Follows, Head, TargetBytes};

#[derive(Clone, Debug)]
enum At {
    Head(Head),
    Body(u64),
    Chunks(Chunks),
    /// The rest is another protocol's, or is never read: whoever refuses the
    /// upgrade closes the connection.
    Upgraded,
}

/// Where a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Bytes of the last call that are still good.
    pub(crate) good: usize,
    pub(crate) fault: Fault,
    /// Not in a body.
    pub(super) in_head: bool,
}

/// Takes a connection's bytes as they come.
#[derive(Clone, Debug)]
pub(crate) struct Framer {
    at: At,
    /// Heads that were whole.
    heads: u64,
    targets: &'static TargetBytes,
}

impl Framer {
    /// Of a connection whose requests' targets hold these bytes only.
    pub(crate) fn new(targets: &'static TargetBytes) -> Self {
        Self {
            at: At::Head(Head::new(targets)),
            heads: 0,
            targets,
        }
    }

    /// The number of the head of which some bytes have come, but not all.
    pub(super) fn open_head(&self) -> Option<u64> {
        matches!(&self.at, At::Head(head) if head.begun()).then_some(self.heads)
    }

    /// Takes the next bytes. After a fault nothing may follow, but for
    /// [`Fault::Target`]: there what stands for the refused byte may.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let skipped = self.skip(rest);
            taken += skipped;
            if let Some(byte) = rest.get(skipped) {
                self.byte(*byte).map_err(|fault| Refused {
                    good: taken,
                    fault,
                    in_head: matches!(self.at, At::Head(_)),
                })?;
                taken += 1;
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: &[u8]) -> usize {
        match &mut self.at {
            At::Head(head) => head.skip(bytes),
            At::Chunks(chunks) => chunks.skip(bytes),
            At::Upgraded => bytes.len(),
            At::Body(left) => {
                let skipped = super::at_most(*left, bytes.len());
                *left -= skipped as u64;
                if *left == 0 {
                    self.at = At::Head(Head::new(self.targets));
                }
                skipped
            }
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), Fault> {
        match &mut self.at {
            At::Head(head) => {
                if let Some(follows) = head.take(byte)? {
                    self.heads += 1;
                    self.at = match follows {
                        Follows::Head => At::Head(Head::new(self.targets)),
                        Follows::Length(length) => At::Body(length),
                        Follows::Chunks => At::Chunks(Chunks::new()),
                        Follows::Upgrade => At::Upgraded,
                    };
                }
            }
            At::Chunks(chunks) => {
                if chunks.take(byte)? {
                    self.at = At::Head(Head::new(self.targets));
                }
            }
            // Skipped whole.
            At::Body(_) | At::Upgraded => {}
        }
        Ok(())
    }
}
