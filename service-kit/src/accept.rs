//! The accept loop. It neither dies nor spins: an error is logged and waited
//! out, and everything slow (TLS, first bytes) happens in the connection's task.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::prompt_tcp::make_prompt;
use crate::tasks::Spawner;

/// Wait after an accept error. Most are "too many open files": they pass when a
/// connection ends, and until then accept returns at once.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// A connection's place among those that may be open. Belongs to whatever keeps the
/// connection longest: an upgraded one outlives the task that served it.
#[derive(Debug)]
pub struct Place {
    permit: OwnedSemaphorePermit,
}

impl Place {
    /// Whether no other one is free at this moment. The next connection's may be
    /// taken already, by the loop that waits for it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.permit.semaphore().available_permits() == 0
    }
}

impl From<OwnedSemaphorePermit> for Place {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self { permit }
    }
}

/// What connections come to.
pub trait Listener: Send {
    /// A connection.
    type Stream: Send;
    /// Who it comes from.
    type Peer: Debug + Send;

    /// Waits for a connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        make_prompt(&stream, peer);
        Ok((stream, peer))
    }
}

/// Accepts until `stop`; each connection runs in a task of its own. At most
/// `limit` have a place: further ones wait in the listener's backlog.
pub async fn accept_loop<L, S, F>(
    listener: L,
    limit: usize,
    spawner: Spawner,
    stop: CancellationToken,
    mut serve: S,
) where
    L: Listener,
    S: FnMut(L::Stream, L::Peer, Place) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limit));
    let accepting = async {
        // A semaphore that is never closed always gives a place in the end.
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => spawner.spawn(serve(stream, peer, place.into())),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
}
