//! A connection that gives way to other tasks after each piece it reads.
//!
//! HTTP/2 takes all that has arrived before any stream's task is run, up to some
//! MiB, and what a peer needs a byte for may take a hundred of memory: fields of
//! its header table, provisional answers. Read by pieces it is gone before the
//! next one comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes between two pauses. A large frame's worth: a pause, some microseconds, is
/// nothing beside decrypting it.
const PIECE: usize = 64 * 1024;

pin_project_lite::pin_project! {
    /// Pauses reading after each piece.
    #[derive(Debug)]
    pub struct PacedRead<T> {
        #[pin]
        inner: T,
        // Since the last time that it gave way.
        read: usize,
    }
}

impl<T> PacedRead<T> {
    /// Wraps a connection.
    pub fn new(inner: T) -> Self {
        Self { inner, read: 0 }
    }
}

impl<T: AsyncRead> AsyncRead for PacedRead<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if *this.read >= PIECE {
            *this.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let Poll::Ready(read) = this.inner.poll_read(cx, buf) else {
            *this.read = 0;
            return Poll::Pending;
        };
        *this.read += buf.filled().len() - before;
        Poll::Ready(read)
    }
}

http_relay::pass_writes!(PacedRead);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn others_have_their_turn_after_each_piece() {
        let bytes: Vec<u8> = (0..10 * PIECE).map(|at| at.to_le_bytes()[1]).collect();
        let mut reader = PacedRead::new(&bytes[..]);
        let (mut read, mut turns) = (Vec::new(), 0);
        let mut reading = std::pin::pin!(reader.read_to_end(&mut read));
        let whole = std::future::poll_fn(|cx| {
            turns += 1;
            reading.as_mut().poll(cx)
        });
        assert_eq!(whole.await.unwrap(), bytes.len());
        assert_eq!(read, bytes);
        // A piece may be longer by the last read's length.
        assert!((5..=11).contains(&turns), "{turns}");
    }
}
