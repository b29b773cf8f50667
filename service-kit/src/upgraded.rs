//! An upgraded connection over plain TCP. Closing one looks like a clean end to
//! its peer, so a stream that was cut has to end in a reset.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, empty};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::write_stall::WriteStall;

/// Is reset when it is dropped (a failure, or a task that was ended), unless it
/// was told that both its directions came to their end.
#[derive(Debug)]
pub struct UpgradedTcp {
    // Taken by what consumes the whole: `finish` and Drop.
    io: Option<TokioIo<Upgraded>>,
}

impl UpgradedTcp {
    /// Takes a connection.
    #[must_use]
    pub fn new(upgraded: Upgraded) -> Self {
        Self {
            io: Some(TokioIo::new(upgraded)),
        }
    }

    /// To read and write.
    pub fn io(&mut self) -> impl AsyncRead + AsyncWrite + Unpin + Send {
        self.io
            .as_mut()
            .map_or_else(|| Either::Right(empty()), Either::Left)
    }

    /// Both directions have ended: no reset.
    pub fn finish(mut self) {
        self.io = None;
    }
}

impl Drop for UpgradedTcp {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        // As tunnel-client dials it, and as the sidecar accepts it.
        let lingers = match io.into_inner().downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => parts.io.into_inner().set_zero_linger(),
            Err(io) => match io.downcast::<TokioIo<WriteStall<TcpStream>>>() {
                Ok(parts) => parts.io.into_inner().into_inner().set_zero_linger(),
                Err(_) => Ok(()),
            },
        };
        if let Err(error) = lingers {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}
