//! A control stream, cut into chunks. The input is a list of pieces: a byte whose
//! upper two bits say how often the piece is repeated, and whose lower six how
//! long it is; then the piece.

use std::fmt::Debug;

use tunnel_protocol::control::{ClientMessage, ControlError, Lines, ServerMessage, line};
use tunnel_protocol::limits::CONTROL_LINE;

/// By the upper two bits of a piece's first byte.
const REPEATS: [usize; 4] = [1, 2, 64, 2048];
/// Enough for a line that is too long; more would only be slower.
const LONGEST: usize = CONTROL_LINE + 4096;

/// However the stream is cut, the same messages come of it, and no more than one
/// line is held.
pub fn run(bytes: &[u8]) {
    let chunks = chunks(bytes);
    agree::<ServerMessage>(&chunks);
    agree::<ClientMessage>(&chunks);
}

fn chunks(mut bytes: &[u8]) -> Vec<&[u8]> {
    let (mut chunks, mut total) = (Vec::new(), 0);
    while let Some((head, rest)) = bytes.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(head & 0x3f)));
        for _ in 0..REPEATS[usize::from(head >> 6)] {
            if total < LONGEST {
                total += piece.len();
                chunks.push(piece);
            }
        }
        bytes = rest;
    }
    chunks
}

/// The messages, and why there are no more.
fn messages<M: Message>(chunks: &[&[u8]]) -> (Vec<M>, Option<&'static str>) {
    let (mut lines, mut messages) = (Lines::default(), Vec::new());
    for chunk in chunks {
        lines.push(*chunk);
        loop {
            match lines.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(ControlError::LineTooLong) => return (messages, Some("too long")),
                Err(ControlError::NotAMessage(_)) => return (messages, Some("no message")),
            }
        }
        assert!(lines.held() <= CONTROL_LINE, "{} bytes held", lines.held());
    }
    (messages, None)
}

fn agree<M: Message>(chunks: &[&[u8]]) {
    let (read, ended) = messages::<M>(chunks);
    let whole = chunks.concat();
    assert_eq!(messages::<M>(&[&whole]), (read.clone(), ended));
    let bytes: Vec<_> = whole.chunks(1).take(CONTROL_LINE / 16).collect();
    let (some, _) = messages::<M>(&bytes);
    assert!(read.starts_with(&some));
    for message in read {
        let written = line(&message);
        assert_eq!(messages::<M>(&[&written]), (vec![message], None));
    }
}

/// What either side says.
trait Message: Clone + Debug + PartialEq + serde::Serialize + for<'de> serde::Deserialize<'de> {}
impl Message for ServerMessage {}
impl Message for ClientMessage {}
