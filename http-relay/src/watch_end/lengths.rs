//! `application/vnd.kubernetes.protobuf;stream=watch`: each event behind its length,
//! four bytes with the greatest first.

use super::borders::Strange;

const LENGTH: u8 = 4;

#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// What was read of the length.
    length: u32,
    /// How many of its bytes.
    read: u8,
    /// What is missing of the event.
    missing: usize,
}

impl Lengths {
    /// As [`super::borders::Borders::next`].
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Strange> {
        let mut at = 0;
        while at < bytes.len() {
            if self.read < LENGTH {
                self.length = self.length << 8 | u32::from(bytes[at]);
                self.read += 1;
                at += 1;
                if self.read < LENGTH {
                    continue;
                }
                self.missing = usize::try_from(self.length).map_err(|_| Strange)?;
            }
            let here = self.missing.min(bytes.len() - at);
            self.missing -= here;
            at += here;
            if self.missing == 0 {
                *self = Self::default();
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}
