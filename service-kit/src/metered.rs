//! Counts the bytes of a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What connections have carried; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Bytes read from them.
    pub received: Counter,
    /// Bytes written to them.
    pub sent: Counter,
}

pin_project_lite::pin_project! {
    /// A connection whose bytes are counted.
    #[derive(Debug)]
    pub struct Metered<T> {
        #[pin]
        inner: T,
        traffic: Traffic,
    }
}

impl<T> Metered<T> {
    /// Counts what a connection carries from now on.
    pub fn new(inner: T, traffic: Traffic) -> Self {
        Self { inner, traffic }
    }
}

impl<T: AsyncRead> AsyncRead for Metered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        ready!(this.inner.poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        this.traffic.received.inc_by(read as u64);
        Poll::Ready(Ok(()))
    }
}

fn counted(traffic: &Traffic, written: usize) -> Poll<io::Result<usize>> {
    traffic.sent.inc_by(written as u64);
    Poll::Ready(Ok(written))
}

impl<T: AsyncWrite> AsyncWrite for Metered<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = ready!(this.inner.poll_write(cx, buf))?;
        counted(this.traffic, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = ready!(this.inner.poll_write_vectored(cx, bufs))?;
        counted(this.traffic, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn both_directions_are_counted() {
        let (mut peer, io) = duplex(64);
        let traffic = Traffic::default();
        let mut io = Metered::new(io, traffic.clone());
        io.write_all(b"there").await.unwrap();
        peer.write_all(b"and back").await.unwrap();
        io.read_exact(&mut [0; 8]).await.unwrap();
        assert_eq!((traffic.sent.get(), traffic.received.get()), (5, 8));
    }
}
