//! What HTTP/2 writes while it is polled once, as one write.
//!
//! h2 flushes after each DATA frame: of many small answers each would be a record of TLS,
//! a system call and a wake-up of the peer by itself. Here its flushes do nothing;
//! [`SendGathered::drive`] sends what was gathered, each time after polling it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most that is gathered, bytes: a record of TLS. What is larger by itself is not copied.
const MOST: usize = 16 * 1024;

/// The connection, for h2.
#[derive(Debug)]
pub struct GatheredWrites<T>(Arc<Mutex<Gathered<T>>>);

/// Sends what was gathered.
#[derive(Debug)]
pub struct SendGathered<T>(Arc<Mutex<Gathered<T>>>);

/// Both ends of it are used by one task: the lock is never waited for.
#[derive(Debug)]
struct Gathered<T> {
    inner: T,
    /// Holds no memory while there is nothing to send.
    bytes: Vec<u8>,
    /// Of `bytes`, what is sent already.
    sent: usize,
    /// Something was written since the last flush.
    is_dirty: bool,
    failed: Option<io::Error>,
}

/// Splits a connection into what h2 takes, and what sends what it has written: see
/// [`SendGathered::drive`].
pub fn gather<T>(inner: T) -> (GatheredWrites<T>, SendGathered<T>) {
    let gathered = Arc::new(Mutex::new(Gathered {
        inner,
        bytes: Vec::new(),
        sent: 0,
        is_dirty: false,
        failed: None,
    }));
    (GatheredWrites(gathered.clone()), SendGathered(gathered))
}

fn lock<T>(gathered: &Mutex<Gathered<T>>) -> MutexGuard<'_, Gathered<T>> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: AsyncWrite + Unpin> SendGathered<T> {
    /// Runs h2's connection, by reference, as it is large, until it ends.
    pub async fn drive<C: Future + Unpin>(mut self, mut connection: C) -> C::Output {
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            self.poll(cx);
            ended
        })
        .await
    }

    /// What cannot be sent yet wakes the task. A failure is met by the connection, which
    /// is woken for it.
    fn poll(&mut self, cx: &mut Context<'_>) {
        let mut gathered = lock(&self.0);
        if gathered.failed.is_some() {
            return;
        }
        if let Poll::Ready(Err(error)) = gathered.poll_flush(cx) {
            gathered.failed = Some(error);
            cx.waker().wake_by_ref();
        }
    }
}

impl<T: AsyncWrite + Unpin> Gathered<T> {
    /// Sends the gathered bytes, so that none are left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let rest = &self.bytes[self.sent..];
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        (self.bytes, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_dirty {
            ready!(self.poll_send(cx))?;
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.is_dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        self.is_dirty = true;
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if self.bytes.len() + length > MOST {
            ready!(self.poll_send(cx))?;
        }
        if length > MOST {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(MOST);
        }
        for buf in bufs {
            self.bytes.extend_from_slice(buf);
        }
        Poll::Ready(Ok(length))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for GatheredWrites<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GatheredWrites<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is gathered goes when the connection has been polled.
        Poll::Ready(lock(&self.0).failed.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = lock(&self.0);
        ready!(gathered.poll_flush(cx))?;
        Pin::new(&mut gathered.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Takes so many bytes more; notes the length of each write, and flushes as nothing.
    #[derive(Default)]
    struct Peer {
        takes: usize,
        taken: Vec<u8>,
        writes: Vec<usize>,
        fails: bool,
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.fails {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let length = buf.len().min(self.takes);
            if length == 0 {
                return Poll::Pending;
            }
            self.takes -= length;
            self.taken.extend_from_slice(&buf[..length]);
            self.writes.push(length);
            Poll::Ready(Ok(length))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.writes.push(0);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn peer(takes: usize) -> Peer {
        Peer {
            takes,
            ..Peer::default()
        }
    }

    async fn send<T: AsyncWrite + Unpin>(gathered: &mut SendGathered<T>) {
        poll_fn(|cx| {
            gathered.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn small_writes_go_together_and_flushes_wait() {
        let (mut io, mut gathered) = gather(peer(usize::MAX));
        for piece in [&b"one "[..], b"two ", b"three"] {
            io.write_all(piece).await.unwrap();
            io.flush().await.unwrap();
        }
        assert!(lock(&io.0).inner.writes.is_empty());
        send(&mut gathered).await;
        send(&mut gathered).await;
        let gathered = lock(&io.0);
        assert_eq!(gathered.inner.taken, b"one two three");
        assert_eq!(gathered.inner.writes, [13, 0]);
        assert_eq!(gathered.bytes.capacity(), 0);
    }

    #[tokio::test]
    async fn what_is_large_is_not_copied_and_stays_in_its_place() {
        let (mut io, mut gathered) = gather(peer(usize::MAX));
        io.write_all(b"before").await.unwrap();
        io.write_all(&[b'x'; MOST + 1]).await.unwrap();
        io.write_all(b"behind").await.unwrap();
        send(&mut gathered).await;
        let gathered = lock(&io.0);
        assert_eq!(gathered.inner.writes, [6, MOST + 1, 6, 0]);
        assert!(gathered.inner.taken.starts_with(b"beforex"));
        assert!(gathered.inner.taken.ends_with(b"xbehind"));
    }

    #[tokio::test]
    async fn no_more_than_a_record_waits_for_a_peer_that_takes_nothing() {
        let (mut io, mut gathered) = gather(peer(10));
        let mut written = 0;
        let piece = [b'x'; 1000];
        let full = poll_fn(|cx| {
            while Pin::new(&mut io).poll_write(cx, &piece).is_ready() {
                written += piece.len();
            }
            gathered.poll(cx);
            Poll::Ready(())
        });
        full.await;
        assert_eq!(written, MOST / piece.len() * piece.len());
        lock(&io.0).inner.takes = usize::MAX;
        send(&mut gathered).await;
        assert_eq!(lock(&io.0).inner.taken.len(), written);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_the_connection() {
        let (mut io, mut gathered) = gather(peer(usize::MAX));
        lock(&io.0).inner.fails = true;
        io.write_all(b"lost").await.unwrap();
        send(&mut gathered).await;
        let error = io.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn what_a_connection_writes_goes_after_each_poll() {
        let (mut io, gathered) = gather(peer(usize::MAX));
        let seen = io.0.clone();
        let mut polls = 0;
        let connection = poll_fn(|cx| {
            polls += 1;
            for piece in [b"one ", b"two "] {
                assert!(Pin::new(&mut io).poll_write(cx, piece).is_ready());
            }
            cx.waker().wake_by_ref();
            (polls == 2)
                .then_some("ended")
                .map_or(Poll::Pending, Poll::Ready)
        });
        assert_eq!(gathered.drive(connection).await, "ended");
        assert_eq!(lock(&seen).inner.writes, [8, 0, 8, 0]);
    }

    #[tokio::test]
    async fn nothing_is_left_behind_by_a_shutdown() {
        let (near, mut far) = duplex(64);
        let (mut io, _gathered) = gather(near);
        io.write_all(b"last words").await.unwrap();
        io.shutdown().await.unwrap();
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"last words");
    }
}
