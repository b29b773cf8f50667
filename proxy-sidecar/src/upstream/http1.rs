//! Connections over HTTP/1.1: one carries one request at a time, and is kept for the
//! next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_relay::RelayBody;
use http_relay::body::error_chain;
use hyper::client::conn::http1::{self, SendRequest};
use service_kit::metrics::Counted;
use service_kit::tasks::Spawner;
use tunnel_protocol::limits::HEADER_LINES;

use super::dial::Dialled;

/// Above what is open at once in ordinary use. Beyond it a TLS connection is
/// closed after its answer and another opened for the next request: with 64 the
/// chain answered half as much at 256 requests at once (`bench/NOTES.md`).
const MOST_IDLE: usize = 1024;

/// Those that carry nothing now. The last used is used next, so that the others grow
/// old and are closed.
#[derive(Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Vec<Kept>>>);

struct Kept {
    sender: SendRequest<RelayBody>,
    since: Instant,
    generation: u64,
}

/// A connection in use. Goes back when its answer came to its end, and is closed
/// when it is dropped before.
pub(super) struct Lease {
    sender: SendRequest<RelayBody>,
    /// Of the certificates that it was made with.
    generation: u64,
    idle: Idle,
}

impl Idle {
    /// One that can take a request at once: some may still be writing a request
    /// that was answered early. Those of other certificates are closed.
    pub(super) fn take(&self, generation: u64) -> Option<Lease> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for at in (0..kept.len()).rev() {
            let one = kept.get(at)?;
            if one.sender.is_closed() || one.generation != generation {
                kept.remove(at);
            } else if one.sender.is_ready() {
                let sender = kept.remove(at).sender;
                return Some(Lease {
                    sender,
                    generation,
                    idle: self.clone(),
                });
            }
        }
        None
    }

    /// Closes those that nobody used for that long.
    pub(super) fn close_older(&self, age: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| !one.sender.is_closed() && one.since.elapsed() < age);
    }
}

impl Lease {
    pub(super) fn sender(&mut self) -> &mut SendRequest<RelayBody> {
        &mut self.sender
    }

    /// The answer has come to its end.
    pub(super) fn give_back(self) {
        let mut kept = self.idle.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_IDLE {
            kept.push(Kept {
                sender: self.sender,
                since: Instant::now(),
                generation: self.generation,
            });
        }
    }
}

/// Speaks HTTP/1.1 on a connection. `idle` is where it goes back to.
pub(super) async fn connect(
    dialled: Dialled,
    idle: &Idle,
    counted: Counted,
    tasks: &Spawner,
) -> Result<Lease, hyper::Error> {
    let generation = dialled.generation;
    let (sender, connection) = http1::Builder::new()
        .max_headers(HEADER_LINES)
        .handshake(dialled.io)
        .await?;
    tasks.spawn(async move {
        let _counted = counted;
        if let Err(error) = connection.with_upgrades().await {
            let error = error_chain(&error);
            tracing::debug!(error, "a connection to the API server ended");
        }
    });
    Ok(Lease {
        sender,
        generation,
        idle: idle.clone(),
    })
}
