//! A connection that can hold back what arrives: so that somebody else decides when its
//! reader gets to work on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are held at most; the others wait in the system.
const PIECE: usize = 4096;

pin_project_lite::pin_project! {
    /// Passes all as it comes, until it is told to hold.
    #[derive(Debug)]
    pub struct HeldRead<T> {
        #[pin]
        inner: T,
        // Nothing where all passes.
        held: Option<Box<Held>>,
    }
}

#[derive(Debug)]
struct Held {
    arrived: Vec<u8>,
    passes: Passes,
}

/// What the reader may have.
#[derive(Debug, PartialEq, Eq)]
enum Passes {
    Nothing,
    WhatIsHere,
    All,
}

impl<T> HeldRead<T> {
    /// Wraps a connection.
    pub fn new(inner: T) -> Self {
        Self { inner, held: None }
    }

    /// From now on the reader is given nothing by itself.
    pub fn hold(&mut self) {
        self.held = Some(Box::new(Held {
            arrived: Vec::new(),
            passes: Passes::Nothing,
        }));
    }

    /// Whether there is something that the reader asked for and was not given.
    #[must_use]
    pub fn has_held(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.passes == Passes::Nothing && !held.arrived.is_empty())
    }

    /// What is held may pass, and nothing behind it. The reader is not woken: poll it.
    pub fn pass(&mut self) {
        if let Some(held) = &mut self.held {
            held.passes = Passes::WhatIsHere;
        }
    }

    /// All may pass from now on. The reader is not woken either.
    pub fn release(&mut self) {
        match &mut self.held {
            Some(held) if !held.arrived.is_empty() => held.passes = Passes::All,
            _ => self.held = None,
        }
    }
}

impl<T: AsyncRead> AsyncRead for HeldRead<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let Some(held) = this.held.as_deref_mut() else {
            return this.inner.poll_read(cx, buf);
        };
        if held.arrived.is_empty() {
            held.passes = Passes::Nothing;
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(this.inner.poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                // The end.
                return Poll::Ready(Ok(()));
            }
            held.arrived.extend_from_slice(piece.filled());
        }
        if held.passes == Passes::Nothing {
            return Poll::Pending;
        }
        let count = held.arrived.len().min(buf.remaining());
        buf.put_slice(&held.arrived[..count]);
        held.arrived.drain(..count);
        if held.arrived.is_empty() && held.passes == Passes::All {
            *this.held = None;
        }
        Poll::Ready(Ok(()))
    }
}

http_relay::pass_writes!(HeldRead);

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// What one read gives; nothing where it waits.
    fn read<T: AsyncRead + Unpin>(from: &mut HeldRead<T>, room: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; room];
        let mut buf = ReadBuf::new(&mut bytes);
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(from).poll_read(&mut cx, &mut buf) {
            Poll::Ready(read) => read.map(|()| buf.filled().to_vec()).ok(),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn what_is_held_passes_when_it_is_let_and_nothing_behind_it() {
        let (mut peer, connection) = duplex(64);
        let mut connection = HeldRead::new(connection);
        peer.write_all(b"first").await.unwrap();
        assert_eq!(read(&mut connection, 64).unwrap(), b"first");
        connection.hold();
        assert_eq!(read(&mut connection, 64), None);
        assert!(!connection.has_held());
        peer.write_all(b"second").await.unwrap();
        assert_eq!(read(&mut connection, 64), None);
        assert!(connection.has_held());
        peer.write_all(b"third").await.unwrap();
        connection.pass();
        assert!(!connection.has_held());
        // Also where there is little room for it.
        assert_eq!(read(&mut connection, 4).unwrap(), b"seco");
        assert_eq!(read(&mut connection, 4).unwrap(), b"nd");
        assert_eq!(read(&mut connection, 4), None);
        assert!(connection.has_held());
    }

    #[tokio::test]
    async fn nothing_is_lost_when_it_is_released() {
        let (mut peer, connection) = duplex(64);
        let mut connection = HeldRead::new(connection);
        connection.hold();
        peer.write_all(b"held").await.unwrap();
        assert_eq!(read(&mut connection, 64), None);
        connection.release();
        peer.write_all(b", behind").await.unwrap();
        assert_eq!(read(&mut connection, 2).unwrap(), b"he");
        drop(peer);
        let mut rest = String::new();
        connection.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "ld, behind");
    }

    #[tokio::test]
    async fn an_end_is_told_at_once() {
        let (peer, connection) = duplex(64);
        let mut connection = HeldRead::new(connection);
        connection.hold();
        drop(peer);
        assert_eq!(read(&mut connection, 64).unwrap(), b"");
        assert!(!connection.has_held());
    }
}
