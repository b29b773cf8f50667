//! A chunked body's framing, byte by byte; its data is skipped.

use super::fault::Fault;
use super::fields::Fields;

/// Digits of a chunk's size, leading zeros included.
const SIZE_DIGITS: u8 = 16;
/// Largest chunk, bytes: the largest number that every reader of JSON and
/// JavaScript also knows. Nobody has a body of that size.
const LARGEST: u64 = 1 << 53;
/// Extensions of one chunk, bytes. They are legal, hardly anybody sends them, and
/// they end here, as framing is made anew.
const EXTENSION: usize = 256;

#[derive(Clone, Debug)]
enum At {
    Size { size: u64, digits: u8 },
    Extension { size: u64, length: usize },
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataLineFeed,
    Trailers(Fields),
}

/// Reads one chunked body.
#[derive(Clone, Debug)]
pub(super) struct Chunks(At);

const NEXT: At = At::Size { size: 0, digits: 0 };

impl Chunks {
    pub(super) fn new() -> Self {
        Self(NEXT)
    }

    /// Takes what stands at the start of `bytes` and is data, or only more of the same.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> usize {
        match &mut self.0 {
            At::Data(left) => {
                let skipped = super::at_most(*left, bytes.len());
                *left -= skipped as u64;
                if *left == 0 {
                    self.0 = At::DataEnd;
                }
                skipped
            }
            At::Trailers(fields) => fields.skip(bytes),
            _ => 0,
        }
    }

    /// Takes one byte; tells whether it was the body's last.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, Fault> {
        self.0 = match (&mut self.0, byte) {
            (At::Size { size, digits }, _) => match (byte as char).to_digit(16) {
                Some(digit) if *digits < SIZE_DIGITS => At::Size {
                    size: *size << 4 | u64::from(digit),
                    digits: *digits + 1,
                },
                None if *digits > 0 && *size <= LARGEST => match byte {
                    b'\r' => At::SizeEnd(*size),
                    b';' => At::Extension {
                        size: *size,
                        length: 0,
                    },
                    b'\n' => return Err(Fault::BareLineFeed),
                    _ => return Err(Fault::ChunkSize),
                },
                _ => return Err(Fault::ChunkSize),
            },
            (At::Extension { size, .. }, b'\r') => At::SizeEnd(*size),
            (At::Extension { .. }, b'\n') => return Err(Fault::BareLineFeed),
            (At::Extension { size, length }, b'\t' | b' '..=b'~') if *length < EXTENSION => {
                At::Extension {
                    size: *size,
                    length: *length + 1,
                }
            }
            (At::Extension { .. }, _) => return Err(Fault::ChunkExtension),
            (At::SizeEnd(0), b'\n') => At::Trailers(Fields::of_trailers()),
            (At::SizeEnd(size), b'\n') => At::Data(*size),
            (At::SizeEnd(_) | At::DataLineFeed, byte) if byte != b'\n' => {
                return Err(Fault::BareCarriageReturn);
            }
            (At::DataEnd, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, _) => NEXT,
            (At::Trailers(fields), _) => return Ok(fields.take(byte)?.is_some()),
            (At::DataEnd | At::Data(_) | At::SizeEnd(_), _) => return Err(Fault::ChunkEnd),
        };
        Ok(false)
    }
}
