//! `application/cbor-seq`: data items of CBOR (RFC 8949), one after another. The API
//! server writes none of indefinite length; where there is one, no end is looked for.

use super::borders::Strange;

#[derive(Debug, Default)]
pub(super) struct CborSequence {
    /// Items that are to come until the outermost one is whole: where it stands in
    /// which of them does not matter.
    open: u64,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Before an item's first byte.
    #[default]
    Before,
    /// In its argument, of which so many bytes are missing.
    Argument { major: u8, value: u64, missing: u8 },
    /// In a string, of which so many bytes are missing.
    Text { missing: u64 },
}

impl CborSequence {
    /// As [`super::borders::Borders::next`].
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Strange> {
        let mut at = 0;
        while at < bytes.len() {
            at += match &mut self.state {
                State::Text { missing } => {
                    let left = bytes.len() - at;
                    let here = usize::try_from(*missing).map_or(left, |missing| missing.min(left));
                    *missing -= here as u64;
                    if *missing == 0 {
                        self.state = State::Before;
                    }
                    here
                }
                State::Before => {
                    self.first(bytes[at])?;
                    1
                }
                State::Argument {
                    major,
                    value,
                    missing,
                } => {
                    *value = *value << 8 | u64::from(bytes[at]);
                    *missing -= 1;
                    if *missing == 0 {
                        let (major, value) = (*major, *value);
                        self.head(major, value)?;
                    }
                    1
                }
            };
            if self.open == 0 && matches!(self.state, State::Before) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The byte with an item's major type, and its argument or how long that is.
    fn first(&mut self, byte: u8) -> Result<(), Strange> {
        self.open = self.open.max(1);
        let (major, info) = (byte >> 5, byte & 0x1f);
        match info {
            ..24 => self.head(major, info.into()),
            24..28 => {
                self.state = State::Argument {
                    major,
                    value: 0,
                    missing: 1 << (info - 24),
                };
                Ok(())
            }
            // Reserved, or of indefinite length.
            _ => Err(Strange),
        }
    }

    /// An item's head is whole, and the item too but for its text or its parts.
    fn head(&mut self, major: u8, argument: u64) -> Result<(), Strange> {
        let parts = match major {
            // Text of bytes or characters.
            2 | 3 if argument > 0 => {
                self.state = State::Text { missing: argument };
                self.open -= 1;
                return Ok(());
            }
            // A list, a map, a tag; and numbers and other simple things.
            4 => argument,
            5 => argument.checked_mul(2).ok_or(Strange)?,
            6 => 1,
            _ => 0,
        };
        self.state = State::Before;
        self.open = (self.open - 1).checked_add(parts).ok_or(Strange)?;
        Ok(())
    }
}
