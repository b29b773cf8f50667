//! A request's head, byte by byte.

use super::fault::Fault;
use super::fields::{Fields, Said, is_token_byte};

const VERSION: &[u8] = b"HTTP/1.";

#[derive(Clone, Debug)]
enum At {
    /// An empty line may come first: old clients send one behind a body.
    Start {
        may_be_empty: bool,
    },
    EmptyLine,
    Method,
    Target {
        begun: bool,
        query: bool,
    },
    Version(&'static [u8]),
    Minor,
    LineEnd,
    LineFeed,
    Fields(Fields),
}

/// What comes behind a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The next head.
    Head,
    Length(u64),
    Chunks,
    /// Whatever the other protocol says, if there is a switch to it.
    Upgrade,
}

/// Which bytes a target may hold.
#[derive(Debug)]
pub(crate) struct TargetBytes {
    /// Up to the first `?`, which is in neither.
    pub(crate) path: [bool; 256],
    pub(crate) query: [bool; 256],
}

/// Visible ASCII, and no `#`: a fragment never leaves a client, and would be cut
/// off silently.
pub(super) const VISIBLE: TargetBytes = TargetBytes {
    path: but_not(b"#?"),
    query: but_not(b"#"),
};

/// Visible ASCII but for these.
pub(crate) const fn but_not(these: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_graphic();
        byte += 1;
    }
    let mut at = 0;
    while at < these.len() {
        table[these[at] as usize] = false;
        at += 1;
    }
    table
}

impl TargetBytes {
    const fn of(&self, query: bool) -> &[bool; 256] {
        match query {
            true => &self.query,
            false => &self.path,
        }
    }
}

/// Reads one head.
#[derive(Clone, Debug)]
pub(super) struct Head {
    at: At,
    http_11: bool,
    targets: &'static TargetBytes,
}

impl Head {
    pub(super) fn new(targets: &'static TargetBytes) -> Self {
        Self {
            at: At::Start { may_be_empty: true },
            http_11: false,
            targets,
        }
    }

    /// Whether any of its bytes have come; an empty line before it is none.
    pub(super) fn begun(&self) -> bool {
        !matches!(self.at, At::Start { .. })
    }

    /// Takes what stands at the start of `bytes` and is only more of the same.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> usize {
        match &mut self.at {
            At::Fields(fields) => fields.skip(bytes),
            At::Target { begun: true, query } => {
                let good = self.targets.of(*query);
                let other = bytes.iter().position(|byte| !good[usize::from(*byte)]);
                other.unwrap_or(bytes.len())
            }
            _ => 0,
        }
    }

    /// Takes one byte; tells what follows when it was the last.
    pub(super) fn take(&mut self, byte: u8) -> Result<Option<Follows>, Fault> {
        self.at = match (&mut self.at, byte) {
            (At::Fields(fields), _) => {
                return match fields.take(byte)? {
                    Some(said) => self.follows(&said).map(Some),
                    None => Ok(None),
                };
            }
            (At::Start { may_be_empty: true }, b'\r') => At::EmptyLine,
            (At::EmptyLine, b'\n') => At::Start {
                may_be_empty: false,
            },
            (At::Start { .. } | At::Method, _) if is_token_byte(byte) => At::Method,
            (At::Method, b' ') => At::Target {
                begun: false,
                query: false,
            },
            (At::Target { query: false, .. }, b'?') => At::Target {
                begun: true,
                query: true,
            },
            (At::Target { query, .. }, _) if self.targets.of(*query)[usize::from(byte)] => {
                At::Target {
                    begun: true,
                    query: *query,
                }
            }
            (At::Target { begun: true, .. }, b' ') => At::Version(VERSION),
            (At::Version([first, left @ ..]), _) if byte == *first => match left {
                [] => At::Minor,
                left => At::Version(left),
            },
            (At::Minor, b'0' | b'1') => {
                self.http_11 = byte == b'1';
                At::LineEnd
            }
            (At::LineEnd, b'\r') => At::LineFeed,
            (At::LineFeed, b'\n') => At::Fields(Fields::of_head()),
            (At::EmptyLine | At::LineFeed, _) => return Err(Fault::BareCarriageReturn),
            (At::Start { .. } | At::LineEnd, b'\n') => return Err(Fault::BareLineFeed),
            (At::Start { .. } | At::Method, _) => return Err(Fault::RequestLine),
            (At::Target { .. }, _) => return Err(Fault::Target),
            (At::Version(_) | At::Minor | At::LineEnd, _) => return Err(Fault::Version),
        };
        Ok(None)
    }

    fn follows(&self, said: &Said) -> Result<Follows, Fault> {
        if said.chunked && !self.http_11 {
            return Err(Fault::EncodingInHttp10);
        }
        let follows = match said.length {
            _ if said.chunked => Follows::Chunks,
            None | Some(0) => Follows::Head,
            Some(length) => Follows::Length(length),
        };
        if !(self.http_11 && said.upgrade && said.connection_upgrade) {
            return Ok(follows);
        }
        match follows {
            Follows::Head => Ok(Follows::Upgrade),
            _ => Err(Fault::UpgradeWithBody),
        }
    }
}
