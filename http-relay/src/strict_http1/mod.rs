//! Under hyper's HTTP/1.1 on a public connection: looks at the bytes of requests
//! as they come, and refuses what hyper would be too kind to. Whoever stands
//! before or behind us may read such a request differently, and take a part of
//! its body for a request of its own.
//!
//! Nothing is kept or copied: what is good stays where hyper wants it.

mod chunks;
mod fault;
mod fields;
mod framer;
mod head;
#[cfg(test)]
mod tests;
mod value;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

pub use fault::Fault;
pub(crate) use framer::{Framer, Refused};
pub(crate) use head::{TargetBytes, but_not};

/// What hyper gets instead of the rest of a head: a byte that it takes nowhere in
/// one, and an end. So its 400 comes behind the answers to the requests before,
/// and it closes.
const REFUSED_BY_ALL: &[u8] = b"\0\r\n\r\n";

/// A head that has begun must be whole within this time of waiting for it. One
/// is a few packets; on a bad line some seconds.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

pin_project_lite::pin_project! {
    /// Wraps a connection.
    pub struct StrictHttp1<T> {
        #[pin]
        inner: T,
        framer: Framer,
        // The head that is waited for, and until when.
        waiting: Option<(u64, Pin<Box<Sleep>>)>,
        refused: Option<Answer>,
        tell: Option<Box<dyn FnOnce(Fault) + Send>>,
    }
}

/// What hyper gets after a fault.
enum Answer {
    /// These bytes, then the end.
    Bytes(&'static [u8]),
    Error(Fault),
}

impl<T> StrictHttp1<T> {
    /// `tell` hears why a request was refused: hyper does not know.
    pub fn new(inner: T, tell: impl FnOnce(Fault) + Send + 'static) -> Self {
        Self {
            inner,
            framer: Framer::new(&head::VISIBLE),
            waiting: None,
            refused: None,
            tell: Some(Box::new(tell)),
        }
    }
}

impl Answer {
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let (now, later) = bytes.split_at(bytes.len().min(buf.remaining()));
                buf.put_slice(now);
                *bytes = later;
                Ok(())
            }
            Self::Error(fault) => Err(io::Error::new(io::ErrorKind::InvalidData, *fault)),
        }
    }
}

impl<T: AsyncRead> AsyncRead for StrictHttp1<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if let Some(answer) = this.refused {
            return Poll::Ready(answer.give(buf));
        }
        let before = buf.filled().len();
        let read = this.inner.poll_read(cx, buf);
        if read.is_pending()
            && let Some(head) = this.framer.open_head()
        {
            return overdue(this.waiting, head, cx).map(Err);
        }
        ready!(read)?;
        let taken = this
            .framer
            .take(buf.filled().get(before..).unwrap_or_default());
        if this.framer.open_head().is_none() {
            *this.waiting = None;
        }
        let Err(Refused {
            good,
            fault,
            in_head,
        }) = taken
        else {
            return Poll::Ready(Ok(()));
        };
        if let Some(tell) = this.tell.take() {
            tell(fault);
        }
        buf.set_filled(before + good);
        let answer = this.refused.insert(if in_head {
            Answer::Bytes(REFUSED_BY_ALL)
        } else {
            Answer::Error(fault)
        });
        // What is good is handed over before an error; none of it is an end.
        Poll::Ready(if in_head || good == 0 {
            answer.give(buf)
        } else {
            Ok(())
        })
    }
}

/// Ends the wait for a head in time. Only waiting counts: while a request before
/// it is being answered nobody reads on.
fn overdue(
    waiting: &mut Option<(u64, Pin<Box<Sleep>>)>,
    head: u64,
    cx: &mut Context<'_>,
) -> Poll<io::Error> {
    if waiting.as_ref().is_none_or(|(number, _)| *number != head) {
        *waiting = Some((head, Box::pin(sleep(HEAD_TIMEOUT))));
    }
    let Some((_, timer)) = waiting else {
        return Poll::Pending;
    };
    timer.as_mut().poll(cx).map(|()| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            "the request's head took too long to come",
        )
    })
}

/// The lesser of both.
fn at_most(left: u64, length: usize) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

crate::pass_writes!(StrictHttp1);
