//! Control messages: JSON objects, one a line, both ways on a stream that the server
//! opens as soon as the link is there. Unknown messages are ignored, so that either side can be newer.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::CONTROL_LINE;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The link is registered; callers reach the cluster at these URLs.
    Registered {
        /// By hostname first, then by path.
        urls: Vec<String>,
        /// Which replica of the server this is.
        replica: String,
        /// How many there are: where it is one, a client looks for no other.
        #[serde(default = "one")]
        replicas: u32,
    },
    /// Open a link elsewhere; this one ends.
    Drain {
        /// When to dial, milliseconds from now.
        reconnect_in_ms: u64,
        /// When this link is cut, milliseconds from now.
        deadline_ms: u64,
    },
    /// Is answered at once with a [`ClientMessage::Pong`] of the same number: what it
    /// takes is the link's round trip, with all that is queued on it.
    Ping {
        /// Any.
        id: u64,
    },
    /// The answer to a [`ClientMessage::Ping`].
    Pong {
        /// That ping's.
        id: u64,
    },
    /// A message of a newer server.
    #[serde(other)]
    Unknown,
}

/// What tunnel-client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The client ends: no new requests on this link.
    Drain {
        /// When it cuts what is still open, milliseconds from now.
        deadline_ms: u64,
    },
    /// Is answered at once with a [`ServerMessage::Pong`] of the same number.
    Ping {
        /// Any.
        id: u64,
    },
    /// The answer to a [`ServerMessage::Ping`].
    Pong {
        /// That ping's.
        id: u64,
    },
    /// A message of a newer client.
    #[serde(other)]
    Unknown,
}

const fn one() -> u32 {
    1
}

/// A message as one line, its line feed included.
#[must_use]
pub fn line<M: Serialize>(message: &M) -> Bytes {
    // The messages are plain data with string keys, which JSON always holds.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Why a control stream cannot go on.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The peer sends a line without end.
    #[error("a control line is longer than {CONTROL_LINE} bytes")]
    LineTooLong,
    /// The peer sends something else than JSON objects with a `type`.
    #[error("a control line is not a message: {0}")]
    NotAMessage(#[from] serde_json::Error),
}

/// Cuts a control stream into messages. Never holds more than one line and one
/// chunk.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: BytesMut,
    /// So much of the buffer holds no line feed. Looked at once only: a peer that
    /// sends a line byte by byte would else cost the square of its length.
    searched: usize,
}

impl Lines {
    /// Takes what arrived.
    pub fn push(&mut self, mut chunk: impl Buf) {
        while chunk.has_remaining() {
            let part = chunk.chunk();
            self.buffer.extend_from_slice(part);
            let len = part.len();
            chunk.advance(len);
        }
    }

    /// Bytes that wait for the end of their line.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message, or nothing until more arrives.
    ///
    /// # Errors
    /// [`ControlError`]; the stream cannot be read on after one.
    pub fn next_message<M: for<'de> Deserialize<'de>>(
        &mut self,
    ) -> Result<Option<M>, ControlError> {
        let unread = self.buffer.iter().skip(self.searched);
        let end = unread.copied().position(|byte| byte == b'\n');
        let end = end.map(|end| self.searched + end);
        if end.unwrap_or(self.buffer.len()) > CONTROL_LINE {
            return Err(ControlError::LineTooLong);
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        self.searched = 0;
        let line = self.buffer.split_to(end + 1);
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_in_pieces() {
        let message = ServerMessage::Drain {
            reconnect_in_ms: 5,
            deadline_ms: 30_000,
        };
        let bytes = line(&message);
        let mut lines = Lines::default();
        for byte in &bytes[..bytes.len() - 1] {
            lines.push(&[*byte][..]);
            assert_eq!(lines.next_message::<ServerMessage>().unwrap(), None);
        }
        lines.push(&b"\n"[..]);
        assert_eq!(lines.next_message().unwrap(), Some(message));
    }

    #[test]
    fn a_newer_peer_is_understood_as_far_as_possible() {
        let mut lines = Lines::default();
        lines.push(&b"{\"type\":\"stats\",\"cpu\":1}\n{\"type\":\"drain\",\"deadline_ms\":7,\"why\":\"x\"}\n"[..]);
        assert_eq!(
            lines.next_message::<ClientMessage>().unwrap(),
            Some(ClientMessage::Unknown)
        );
        assert_eq!(
            lines.next_message().unwrap(),
            Some(ClientMessage::Drain { deadline_ms: 7 })
        );
    }

    #[test]
    fn a_line_without_end_is_refused_at_its_bound() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; CONTROL_LINE][..]);
        assert!(lines.next_message::<ClientMessage>().unwrap().is_none());
        lines.push(&b"x"[..]);
        assert!(matches!(
            lines.next_message::<ClientMessage>(),
            Err(ControlError::LineTooLong)
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..16)) {
            let mut lines = Lines::default();
            for chunk in chunks {
                lines.push(&chunk[..]);
                if lines.next_message::<ServerMessage>().is_err() { return Ok(()); }
            }
        }
    }
}
