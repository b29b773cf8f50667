//! Serves HTTP on one connection until it ends, or is told to drain.

use std::pin::pin;

use http::{Request, Response};
use http_relay::RelayBody;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use tokio_util::sync::CancellationToken;

use crate::tasks::Spawner;

/// A service that answers with relayed bodies and never fails.
pub trait RelayService:
    HttpService<Incoming, ResBody = RelayBody, Error = std::convert::Infallible, Future: Send> + Send
{
}

impl<S> RelayService for S where
    S: HttpService<Incoming, ResBody = RelayBody, Error = std::convert::Infallible, Future: Send>
        + Send
{
}

/// The types a handler sees.
pub type RelayRequest = Request<Incoming>;
/// The types a handler sees.
pub type RelayResponse = Response<RelayBody>;

/// Serves HTTP/1.1, upgrades included. On `drain` the connection ends after the
/// request it is at; upgraded connections are their handlers' own.
///
/// # Errors
/// Of the connection; the peer's going away is one of them.
pub async fn serve_http1<I, S>(
    builder: &http1::Builder,
    io: I,
    service: S,
    drain: &CancellationToken,
) -> Result<(), hyper::Error>
where
    I: Read + Write + Unpin + Send + 'static,
    S: RelayService,
{
    let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Serves HTTP/2. On `drain` no new streams are taken, and the connection ends
/// after the last open one.
///
/// # Errors
/// Of the connection; the peer's going away is one of them.
pub async fn serve_http2<I, S>(
    builder: &http2::Builder<Spawner>,
    io: I,
    service: S,
    drain: &CancellationToken,
) -> Result<(), hyper::Error>
where
    I: Read + Write + Unpin + Send + 'static,
    S: RelayService,
    S::Future: 'static,
{
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
