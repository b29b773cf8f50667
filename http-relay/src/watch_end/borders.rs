//! Where one event of a watch ends and the next begins, by the answer's content type.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::cbor_sequence::CborSequence;
use super::json_lines::JsonLines;
use super::lengths::Lengths;

/// Finds the borders in a body that is read piece by piece.
#[derive(Debug)]
pub(super) struct Borders {
    format: Format,
    /// Whether all that was read so far is whole events.
    at: bool,
}

#[derive(Debug)]
enum Format {
    JsonLines(JsonLines),
    Lengths(Lengths),
    CborSequence(CborSequence),
    /// It is not what its content type says.
    Strange,
}

/// The bytes are not of the format.
#[derive(Debug)]
pub(super) struct Strange;

impl Borders {
    /// Of an answer with these headers; nothing where borders cannot be told.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let mut words = content_type.split(';').map(str::trim);
        let format = match words.next()?.to_ascii_lowercase().as_str() {
            "application/json" => Format::JsonLines(JsonLines::default()),
            // Without it, it is one object.
            "application/vnd.kubernetes.protobuf"
                if words.any(|word| word.eq_ignore_ascii_case("stream=watch")) =>
            {
                Format::Lengths(Lengths::default())
            }
            "application/cbor-seq" => Format::CborSequence(CborSequence::default()),
            _ => return None,
        };
        Some(Self { format, at: true })
    }

    /// Whether all that was read so far is whole events.
    pub(super) fn at(&self) -> bool {
        self.at
    }

    /// Reads to the next border, and tells where it is; without one reads all.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        if bytes.is_empty() {
            return None;
        }
        let found = match &mut self.format {
            Format::JsonLines(lines) => lines.next(bytes),
            Format::Lengths(lengths) => lengths.next(bytes),
            Format::CborSequence(items) => items.next(bytes),
            Format::Strange => Ok(None),
        };
        let border = found.unwrap_or_else(|Strange| {
            self.format = Format::Strange;
            None
        });
        self.at = border.is_some();
        border
    }

    /// Reads all.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(border) = self.next(bytes) {
            bytes = &bytes[border..];
        }
    }
}
