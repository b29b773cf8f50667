//! Header lines, byte by byte: of a head, or the trailers behind a chunked body.

use super::fault::Fault;
use super::value::{Length, Token, Word};

/// Longest name that is looked at: `transfer-encoding`.
const LONGEST: usize = 17;

/// Headers that decide where a request ends or where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Length,
    Encoding,
    Host,
    Connection,
    Upgrade,
}

/// What the lines so far said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) host: bool,
    pub(super) upgrade: bool,
    pub(super) connection_upgrade: bool,
}

#[derive(Clone, Debug)]
enum At {
    LineStart,
    Name { lower: [u8; LONGEST], length: usize },
    BeforeValue(Value),
    Value(Value),
    LineEnd,
    LastEnd,
}

/// How the value of the line is read.
#[derive(Clone, Debug)]
enum Value {
    Any,
    /// Looked at by others, who take only text.
    Text,
    Length(Length),
    Encoding(Word),
    Connection(Token),
}

/// Reads lines up to and with the empty one.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    at: At,
    said: Said,
    trailers: bool,
}

impl Fields {
    /// Of a head.
    pub(super) fn of_head() -> Self {
        Self {
            at: At::LineStart,
            said: Said::default(),
            trailers: false,
        }
    }

    /// Behind a chunked body.
    pub(super) fn of_trailers() -> Self {
        Self {
            trailers: true,
            ..Self::of_head()
        }
    }

    /// Takes what stands at the start of `bytes` and is only more of the same.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> usize {
        match &mut self.at {
            At::Value(Value::Any) => run(bytes, is_value_byte),
            At::Value(Value::Text) => run(bytes, is_text_byte),
            At::Name { lower, length } => {
                let other = bytes.iter().position(|byte| !is_token_byte(*byte));
                let count = other.unwrap_or(bytes.len());
                for (place, byte) in lower.iter_mut().skip(*length).zip(&bytes[..count]) {
                    *place = byte.to_ascii_lowercase();
                }
                *length += count;
                count
            }
            _ => 0,
        }
    }

    /// Takes one byte; gives what was said when it was the last of the empty line.
    pub(super) fn take(&mut self, byte: u8) -> Result<Option<Said>, Fault> {
        match &mut self.at {
            At::LineStart => {
                self.at = match byte {
                    b'\r' => At::LastEnd,
                    b'\n' => return Err(Fault::BareLineFeed),
                    b' ' | b'\t' => return Err(Fault::Folded),
                    _ if is_token_byte(byte) => {
                        let mut lower = [0; LONGEST];
                        lower[0] = byte.to_ascii_lowercase();
                        At::Name { lower, length: 1 }
                    }
                    _ => return Err(Fault::Name),
                };
            }
            At::Name { lower, length } => {
                if byte != b':' {
                    return Err(Fault::Name);
                }
                let known = lower.get(..*length).and_then(known);
                self.at = At::BeforeValue(self.begin(known)?);
            }
            At::BeforeValue(_) if matches!(byte, b' ' | b'\t') => {}
            At::BeforeValue(value) => {
                let value = std::mem::replace(value, Value::Any);
                self.at = At::Value(value);
                return self.take(byte);
            }
            At::Value(value) => match byte {
                b'\r' => {
                    let value = std::mem::replace(value, Value::Any);
                    self.end(value)?;
                    self.at = At::LineEnd;
                }
                b'\n' => return Err(Fault::BareLineFeed),
                _ if is_value_byte(byte) => value.take(byte)?,
                _ => return Err(Fault::Value),
            },
            At::LineEnd if byte == b'\n' => self.at = At::LineStart,
            At::LastEnd if byte == b'\n' => return Ok(Some(std::mem::take(&mut self.said))),
            At::LineEnd | At::LastEnd => return Err(Fault::BareCarriageReturn),
        }
        Ok(None)
    }

    fn begin(&mut self, known: Option<Known>) -> Result<Value, Fault> {
        let Some(known) = known else {
            return Ok(Value::Any);
        };
        if self.trailers {
            return Err(Fault::Trailer);
        }
        let said = &mut self.said;
        Ok(match known {
            Known::Length if said.chunked => return Err(Fault::LengthAndEncoding),
            Known::Encoding if said.length.is_some() => return Err(Fault::LengthAndEncoding),
            Known::Length if said.length.is_some() => return Err(Fault::Length),
            Known::Encoding if said.chunked => return Err(Fault::Encoding),
            Known::Host if said.host => return Err(Fault::Hosts),
            Known::Length => Value::Length(Length::default()),
            Known::Encoding => Value::Encoding(Word::new(b"chunked")),
            Known::Connection => Value::Connection(Token::new(b"upgrade")),
            Known::Host => {
                said.host = true;
                Value::Text
            }
            Known::Upgrade => {
                said.upgrade = true;
                Value::Text
            }
        })
    }

    fn end(&mut self, value: Value) -> Result<(), Fault> {
        match value {
            Value::Any | Value::Text => {}
            Value::Length(length) => {
                self.said.length = Some(length.value().ok_or(Fault::Length)?);
            }
            Value::Encoding(word) => {
                self.said.chunked = true;
                word.whole().then_some(()).ok_or(Fault::Encoding)?;
            }
            Value::Connection(token) => self.said.connection_upgrade |= token.found(),
        }
        Ok(())
    }
}

impl Value {
    fn take(&mut self, byte: u8) -> Result<(), Fault> {
        match self {
            Self::Any => Ok(()),
            Self::Length(length) => length.take(byte).ok_or(Fault::Length),
            Self::Encoding(word) => word.take(byte).ok_or(Fault::Encoding),
            Self::Text | Self::Connection(_) if !byte.is_ascii() => Err(Fault::Value),
            Self::Text => Ok(()),
            Self::Connection(token) => {
                token.take(byte);
                Ok(())
            }
        }
    }
}

fn known(lower: &[u8]) -> Option<Known> {
    Some(match lower {
        b"content-length" => Known::Length,
        b"transfer-encoding" => Known::Encoding,
        b"host" => Known::Host,
        b"connection" => Known::Connection,
        b"upgrade" => Known::Upgrade,
        _ => return None,
    })
}

/// RFC 9110's `tchar`, as a table: it is asked for each byte of a name.
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = matches!(
            byte,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.'
                | b'^'..=b'`' | b'|' | b'~'
        );
        byte += 1;
    }
    table
};

/// How many bytes at the start are `same`. As all of sixteen are asked, with no way out
/// between them, the processor compares them at once.
fn run(bytes: &[u8], same: impl Fn(u8) -> bool) -> usize {
    let (sixteens, _) = bytes.as_chunks::<16>();
    let whole = sixteens
        .iter()
        .take_while(|sixteen| sixteen.iter().fold(true, |all, byte| all & same(*byte)));
    let whole = whole.count() * 16;
    let mut rest = bytes.iter().skip(whole);
    let other = rest.position(|byte| !same(*byte));
    other.map_or(bytes.len(), |other| whole + other)
}

// Without branches, for `run`.

fn is_value_byte(byte: u8) -> bool {
    (byte == b'\t') | ((byte >= b' ') & (byte != 0x7f))
}

fn is_text_byte(byte: u8) -> bool {
    is_value_byte(byte) & byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_other_byte() {
        for length in 0..50 {
            let mut bytes = vec![b'x'; length];
            assert_eq!(run(&bytes, is_value_byte), length);
            for at in (0..length).rev() {
                bytes[at] = b'\r';
                assert_eq!(run(&bytes, is_value_byte), at);
            }
        }
        assert_eq!(run("x\t \u{e9}".as_bytes(), is_value_byte), 5);
        assert_eq!(run("x\t \u{e9}".as_bytes(), is_text_byte), 3);
        assert_eq!(run(b"\x7f", is_value_byte), 0);
    }
}
