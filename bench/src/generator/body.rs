//! How a body is framed in HTTP/1.1, and reading it piece by piece.

use anyhow::{Context, Result, ensure};

/// Of a chunk's size line, with its extensions.
const SIZE_LINE: usize = 256;

/// What is left of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    Chunks(Chunk),
    /// Until the connection ends.
    ToEnd,
}

/// Where in a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In the line with the next one's size.
    Size(Vec<u8>),
    Data(u64),
    /// In the line end behind the data; so many bytes of it are left.
    DataEnd(u8),
    /// In the lines behind the last chunk; holds what was read of one.
    Trailers(Vec<u8>),
    End,
}

impl Body {
    pub fn chunked() -> Self {
        Self::Chunks(Chunk::Size(Vec::new()))
    }

    /// Whether all of it has been read.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunks(Chunk::End))
    }

    /// Reads what there is, gives the data to `data` and returns how many of the bytes
    /// belonged to the body.
    pub fn read(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize> {
        match self {
            Self::Length(left) => {
                let own = (bytes.len() as u64).min(*left);
                *left -= own;
                data(&bytes[..own as usize]);
                Ok(own as usize)
            }
            Self::ToEnd => {
                data(bytes);
                Ok(bytes.len())
            }
            Self::Chunks(chunk) => chunk.read(bytes, &mut data),
        }
    }
}

impl Chunk {
    fn read(&mut self, bytes: &[u8], data: &mut dyn FnMut(&[u8])) -> Result<usize> {
        let mut at = 0;
        while at < bytes.len() && *self != Self::End {
            match self {
                Self::Size(line) | Self::Trailers(line) if bytes[at] != b'\n' => {
                    ensure!(line.len() < SIZE_LINE, "a chunk's line is too long");
                    line.push(bytes[at]);
                    at += 1;
                }
                Self::Size(line) => {
                    at += 1;
                    *self = match size(line)? {
                        0 => Self::Trailers(Vec::new()),
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    let own = ((bytes.len() - at) as u64).min(*left);
                    data(&bytes[at..at + own as usize]);
                    at += own as usize;
                    *left -= own;
                    if *left == 0 {
                        *self = Self::DataEnd(2);
                    }
                }
                Self::DataEnd(left) => {
                    at += 1;
                    *left -= 1;
                    if *left == 0 {
                        *self = Self::Size(Vec::new());
                    }
                }
                Self::Trailers(line) => {
                    at += 1;
                    let is_last = matches!(line.as_slice(), b"" | b"\r");
                    *self = if is_last {
                        Self::End
                    } else {
                        Self::Trailers(Vec::new())
                    };
                }
                Self::End => {}
            }
        }
        Ok(at)
    }
}

fn size(line: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(line)?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).with_context(|| format!("{text:?} is no chunk's size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body is, read in pieces of this size, and how many bytes were its own.
    fn read(mut body: Body, bytes: &[u8], piece: usize) -> (Vec<u8>, usize, bool) {
        let (mut all, mut own) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            let read = body.read(piece, |data| all.extend(data)).unwrap();
            own += read;
            if read < piece.len() {
                break;
            }
        }
        (all, own, body.has_ended())
    }

    #[test]
    fn chunks_are_joined_however_they_come() {
        let bytes = b"4\r\nwate\r\n3;x=y\r\nrfa\r\n2\r\nll\r\n0\r\nTrailer: a\r\n\r\nHTTP/1.1";
        let length = bytes.len() - b"HTTP/1.1".len();
        for piece in 1..=bytes.len() {
            let (all, own, ended) = read(Body::chunked(), bytes, piece);
            assert_eq!(
                (all.as_slice(), own, ended),
                (&b"waterfall"[..], length, true)
            );
        }
    }

    #[test]
    fn a_length_ends_there() {
        let read = read(Body::Length(3), b"abcd", 2);
        assert_eq!(read, (b"abc".to_vec(), 3, true));
    }

    #[test]
    fn a_size_that_is_none_is_an_error() {
        assert!(Body::chunked().read(b"x\r\n", |_| {}).is_err());
    }
}
