//! A connection whose peer takes nothing for too long is cut. Quiet is no
//! stall: only a write that waits counts.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

pin_project_lite::pin_project! {
    /// Fails a write or flush that makes no progress for a time.
    #[derive(Debug)]
    pub struct WriteStall<T> {
        #[pin]
        inner: T,
        limit: Duration,
        waiting: Option<Pin<Box<Sleep>>>,
    }
}

impl<T> WriteStall<T> {
    /// Wraps a connection.
    pub fn new(inner: T, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            waiting: None,
        }
    }

    /// The connection itself.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

fn watched<R>(
    result: Poll<io::Result<R>>,
    waiting: &mut Option<Pin<Box<Sleep>>>,
    limit: Duration,
    cx: &mut Context<'_>,
) -> Poll<io::Result<R>> {
    if result.is_ready() {
        *waiting = None;
        return result;
    }
    let timer = waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
    timer.as_mut().poll(cx).map(|()| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "a write made no progress",
        ))
    })
}

impl<T: AsyncRead> AsyncRead for WriteStall<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().inner.poll_read(cx, buf)
    }
}

impl<T: AsyncWrite> AsyncWrite for WriteStall<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let result = this.inner.poll_write(cx, buf);
        watched(result, this.waiting, *this.limit, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let result = this.inner.poll_write_vectored(cx, bufs);
        watched(result, this.waiting, *this.limit, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let result = this.inner.poll_flush(cx);
        watched(result, this.waiting, *this.limit, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let result = this.inner.poll_shutdown(cx);
        watched(result, this.waiting, *this.limit, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_stalled_write_fails_and_a_slow_one_does_not() {
        let limit = Duration::from_secs(60);
        let (mut peer, io) = duplex(1);
        let mut io = WriteStall::new(io, limit);
        let slow = async {
            let mut byte = [0];
            for _ in 0..3 {
                sleep(limit / 2).await;
                peer.read_exact(&mut byte).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(io.write_all(b"abc"), slow);
        written.unwrap();
        let error = io.write_all(b"abc").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
