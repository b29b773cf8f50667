//! Remembers how what a peer sends begins, to tell what it speaks where it is not TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Enough to know a protocol by, bytes.
const KEPT: usize = 5;

pin_project_lite::pin_project! {
    /// A connection, from its first byte on.
    #[derive(Debug)]
    pub(crate) struct FirstBytes<T> {
        #[pin]
        inner: T,
        kept: [u8; KEPT],
        len: usize,
    }
}

impl<T> FirstBytes<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            kept: [0; KEPT],
            len: 0,
        }
    }

    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept[..self.len]
    }
}

impl<T: AsyncRead> AsyncRead for FirstBytes<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        let read = this.inner.poll_read(cx, buf);
        if *this.len < KEPT {
            let fresh = &buf.filled()[before..];
            let room = &mut this.kept[*this.len..];
            let count = fresh.len().min(room.len());
            room[..count].copy_from_slice(&fresh[..count]);
            *this.len += count;
        }
        read
    }
}

http_relay::pass_writes!(FirstBytes);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn it_keeps_the_beginning_and_passes_all() {
        let mut connection = FirstBytes::new(&b"HTTP/1.1 400"[..]);
        assert_eq!(connection.kept(), b"");
        let mut two = [0; 2];
        connection.read_exact(&mut two).await.unwrap();
        assert_eq!(connection.kept(), b"HT");
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        assert_eq!((&two, rest.as_slice()), (b"HT", &b"TP/1.1 400"[..]));
        assert_eq!(connection.kept(), b"HTTP/");
    }
}
