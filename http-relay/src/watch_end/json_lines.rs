//! `application/json`: an object a line, as the API server writes events.

use memchr::memchr;

use super::borders::Strange;

/// Within JSON's tokens no line ends, so in objects without spaces between the tokens
/// none does at all. One that is spread over lines shows it by its first line, which
/// lacks the last brace: it is taken for strange. This asks for a look at each line's
/// ends only; counting braces would take ten times as long.
#[derive(Debug, Default)]
pub(super) struct JsonLines {
    /// First and last byte of the line so far.
    ends: Option<(u8, u8)>,
}

impl JsonLines {
    /// As [`super::borders::Borders::next`].
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Strange> {
        let end = memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if let (Some(first), Some(last)) = (part.first(), part.last()) {
            let first = self.ends.map_or(*first, |(first, _)| first);
            self.ends = Some((first, *last));
        }
        match (end, self.ends) {
            (None, _) => Ok(None),
            (Some(end), Some((b'{', b'}'))) => {
                self.ends = None;
                Ok(Some(end + 1))
            }
            (Some(_), _) => Err(Strange),
        }
    }
}
