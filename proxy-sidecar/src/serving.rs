//! Connections of callers, and the worker that each is served by.

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::lazy;
use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service_kit::accept::{Listener, Place, accept_loop};
use service_kit::http_server::serve_http1;
use service_kit::tasks::Spawner;
use service_kit::upgraded::accepted;
use service_kit::workers::Movable;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::either::Either;
use tunnel_protocol::limits::{HEADER_LINES, WRITE_STALL};

use crate::listen::{Listening, Peer};
use crate::proxy::{Caller, Proxy};

/// Connections at once. Each watch of the tunnel is one, and the port is local.
const CONNECTIONS: usize = 10_000;
/// Header block, bytes: as kubectl proxy, which has Go's limit and what Go adds to it.
const HEADER_BLOCK: usize = 1024 * 1024 + 4096;
/// Also how long an idle connection is kept; above tunnel-client's own 30 s, so
/// that the side that sends requests is the one that closes.
const HEADER_READ: Duration = Duration::from_secs(120);

/// Until it is told to end. `workers` has one for each; the first is this thread's.
pub(crate) async fn accept(listener: Listening, proxy: Arc<Proxy>, workers: Vec<Spawner>) {
    let http = http();
    match listener {
        Listening::Tcp(listener) => accept_from(listener, http, proxy, workers).await,
        Listening::Unix(listener) => accept_from(listener, http, proxy, workers).await,
    }
}

/// On the first worker, which serves a part of the connections itself.
async fn accept_from<L>(listener: L, http: http1::Builder, proxy: Arc<Proxy>, workers: Vec<Spawner>)
where
    L: Listener<Peer: Peer, Stream: Movable + AsyncRead + AsyncWrite + Unpin + 'static>,
{
    let stop = proxy.ending.closing.clone();
    let (first, mut turns) = (workers[0].clone(), (0..workers.len()).cycle());
    let serve = move |stream: L::Stream, peer: L::Peer, place: Place| {
        let here = Here {
            http: http.clone(),
            proxy: proxy.clone(),
            place,
            worker: turns.next().unwrap_or_default(),
        };
        if here.worker == 0 {
            return Either::Left(here.serve(stream, peer));
        }
        let (worker, moved) = (here.worker, stream.detach());
        // On the worker: there it joins its runtime.
        let there = lazy(move |_| match moved.and_then(L::Stream::attach) {
            Ok(stream) => Either::Left(here.serve(stream, peer)),
            Err(error) => {
                tracing::warn!(?peer, %error, "cannot serve a connection");
                Either::Right(ready(()))
            }
        });
        workers[worker].spawn(there.flatten());
        Either::Right(ready(()))
    };
    accept_loop(listener, CONNECTIONS, first, stop, serve).await;
}

/// What a connection needs.
struct Here {
    http: http1::Builder,
    proxy: Arc<Proxy>,
    place: Place,
    worker: usize,
}

impl Here {
    /// Not an `async` function, nor is what it calls: each would hold the connection
    /// once more, for as long as a watch lasts.
    fn serve<S>(self, stream: S, peer: impl Peer) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.connection(stream, peer.ip()).map(move |ended| {
            if let Err(error) = ended {
                let error = http_relay::body::error_chain(&error);
                tracing::debug!(?peer, error, "connection ended");
            }
        })
    }

    /// To the end of its HTTP. Where it is upgraded its place goes with what joins it.
    fn connection<S>(
        self,
        stream: S,
        ip: Option<IpAddr>,
    ) -> impl Future<Output = Result<(), hyper::Error>> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            http,
            proxy,
            place,
            worker,
        } = self;
        let (closing, place) = (proxy.ending.closing.clone(), Arc::new(place));
        let io = accepted(stream, WRITE_STALL);
        // Of letters, digits and colons: it can be a header's value.
        let address: Option<HeaderValue> = ip.and_then(|ip| ip.to_string().try_into().ok());
        let service = service_fn(move |request| {
            let caller = Caller {
                address: address.clone(),
                place: place.clone(),
                worker,
            };
            // hyper keeps room for the future as long as the connection is open: boxed, a
            // quiet watch gives back its 2.7 kB.
            Box::pin(proxy.clone().serve(request, caller))
        });
        serve_http1(&http, TokioIo::new(io), service, &closing)
    }
}

fn http() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_headers(HEADER_LINES)
        .max_header_size(HEADER_BLOCK)
        .max_buf_size(HEADER_BLOCK)
        .auto_date_header(false);
    builder
}

#[cfg(test)]
mod tests;
