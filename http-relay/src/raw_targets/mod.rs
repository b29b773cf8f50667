//! Under hyper's HTTP/1.1, where callers are trusted to mean what they send: bytes
//! that a request's target may not hold raw are escaped before hyper refuses them
//! (`<`, `>`, a backtick in the path, `"` in the query, whatever is not ASCII), or
//! cuts the target at them (`#`). `curl` sends them, and Go's servers take them.
//!
//! Only targets are touched. Where one begins and ends is told by the same code that
//! guards the public listener; whatever that would refuse for another reason passes
//! as it came, and so does all that follows on the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::strict_http1::{Fault, Framer, Refused, TargetBytes, but_not};

/// What hyper takes.
const PLAIN: TargetBytes = TargetBytes {
    path: but_not(b"?#<>`"),
    query: but_not(b"#<>\""),
};

/// Control bytes and white space are not among them: those nobody takes.
const fn is_raw(byte: u8) -> bool {
    matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`' | 128..)
}

pin_project_lite::pin_project! {
    /// Wraps a connection.
    pub struct RawTargets<T> {
        #[pin]
        inner: T,
        // None: the rest passes as it comes.
        framer: Option<Framer>,
        // Escaped already, for the next read; at most three times a read's size.
        ready: Vec<u8>,
    }
}

impl<T> RawTargets<T> {
    /// From its first byte on.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            framer: Some(Framer::new(&PLAIN)),
            ready: Vec::new(),
        }
    }

    /// The connection itself.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> AsyncRead for RawTargets<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if this.ready.is_empty() {
            let before = buf.filled().len();
            ready!(this.inner.poll_read(cx, buf))?;
            let came = buf.filled().get(before..).unwrap_or_default();
            let Some(escaped) = escaped(this.framer, came) else {
                return Poll::Ready(Ok(()));
            };
            buf.set_filled(before);
            *this.ready = escaped;
        }
        let now = this.ready.len().min(buf.remaining());
        buf.put_slice(&this.ready[..now]);
        this.ready.drain(..now);
        if this.ready.is_empty() {
            // Seldom needed: no connection is to hold its room.
            *this.ready = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// The bytes with those escapes that they need, if any. Forgets the framer where it
/// knows no more what comes.
fn escaped(framer: &mut Option<Framer>, came: &[u8]) -> Option<Vec<u8>> {
    let mut escaped = Vec::new();
    let mut rest = came;
    while let Some(following) = framer {
        match following.take(rest) {
            Ok(()) => break,
            Err(Refused {
                good,
                fault: Fault::Target,
                ..
            }) if rest.get(good).copied().is_some_and(is_raw) => {
                let (before, from) = rest.split_at(good);
                let escape = format!("%{:02X}", from[0]);
                escaped.extend_from_slice(before);
                escaped.extend_from_slice(escape.as_bytes());
                rest = &from[1..];
                if following.take(escape.as_bytes()).is_err() {
                    *framer = None;
                }
            }
            Err(_) => *framer = None,
        }
    }
    if escaped.is_empty() {
        return None;
    }
    escaped.extend_from_slice(rest);
    Some(escaped)
}

crate::pass_writes!(RawTargets);

#[cfg(test)]
mod tests;
