//! A writer whose peer may end the connection while others still write: what it
//! takes no more is dropped, so that the bytes before its end are not lost with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::sync::Notify;

/// Takes all, and drops it from the first write on that the peer refuses after it
/// had ended its own direction (`EPIPE`). Any other failure is one: a peer that
/// broke off (`ECONNRESET`) had not said all.
#[derive(Debug)]
pub(crate) struct UntilRefused<'a, W> {
    writer: W,
    refused: bool,
    told: &'a Notify,
}

impl<'a, W> UntilRefused<'a, W> {
    /// Notifies `told` once it refuses.
    pub(crate) fn new(writer: W, told: &'a Notify) -> Self {
        Self {
            writer,
            refused: false,
            told,
        }
    }
}

impl<W: AsyncWrite + Unpin> UntilRefused<'_, W> {
    /// The writer's answer, or `dropped` where it refuses.
    fn poll<T>(
        &mut self,
        dropped: T,
        poll: impl FnOnce(Pin<&mut W>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.refused {
            return Poll::Ready(Ok(dropped));
        }
        Poll::Ready(match ready!(poll(Pin::new(&mut self.writer))) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.refused = true;
                self.told.notify_one();
                Ok(dropped)
            }
            answer => answer,
        })
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for UntilRefused<'_, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll(buf.len(), |writer| writer.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll((), |writer| writer.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll((), |writer| writer.poll_shutdown(cx))
    }
}
