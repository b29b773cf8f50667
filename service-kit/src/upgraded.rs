//! An upgraded connection over plain TCP. Closing one looks like a clean end to
//! its peer, so a stream that was cut has to end in a reset.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_relay::late_end::LateEnd;
use http_relay::raw_targets::RawTargets;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::write_stall::WriteStall;

/// What the sidecar serves HTTP/1.1 on. Its type is known here, as a reset looks for the
/// socket in it.
pub type Accepted<T> = LateEnd<RawTargets<WriteStall<T>>>;

/// Wraps an accepted connection, whose writes may wait that long.
pub fn accepted<T>(stream: T, write_stall: Duration) -> Accepted<T> {
    LateEnd::new(RawTargets::new(WriteStall::new(stream, write_stall)))
}

/// Is reset when it is dropped (a failure, or a task that was ended), unless our
/// direction was ended properly: its peer then has all of it, and a reset could
/// take back what it has not read yet.
#[derive(Debug)]
pub struct UpgradedTcp {
    // Taken by Drop alone.
    io: Option<TokioIo<Upgraded>>,
    ended: bool,
}

impl UpgradedTcp {
    /// Takes a connection.
    #[must_use]
    pub fn new(upgraded: Upgraded) -> Self {
        Self {
            io: Some(TokioIo::new(upgraded)),
            ended: false,
        }
    }

    fn io(&mut self) -> Result<Pin<&mut TokioIo<Upgraded>>, io::Error> {
        self.io
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for UpgradedTcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for UpgradedTcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().io()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = this.io()?.poll_shutdown(cx);
        this.ended |= matches!(ended, Poll::Ready(Ok(())));
        ended
    }
}

impl Drop for UpgradedTcp {
    fn drop(&mut self) {
        let Some(io) = self.io.take().filter(|_| !self.ended) else {
            return;
        };
        // As tunnel-client dials it, and as the sidecar accepts it.
        let lingers = match io.into_inner().downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => parts.io.into_inner().set_zero_linger(),
            Err(io) => match io.downcast::<TokioIo<Accepted<TcpStream>>>() {
                Ok(parts) => {
                    let io = parts.io.into_inner().into_inner();
                    io.into_inner().into_inner().set_zero_linger()
                }
                Err(_) => Ok(()),
            },
        };
        if let Err(error) = lingers {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}
