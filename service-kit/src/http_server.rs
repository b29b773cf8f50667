//! Serves HTTP on one connection until it ends, or is told to drain.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_relay::RelayBody;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

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
pub fn serve_http1<I, S>(
    builder: &http1::Builder,
    io: I,
    service: S,
    drain: &CancellationToken,
) -> impl Future<Output = Result<(), hyper::Error>> + Send + use<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: RelayService,
{
    Serving {
        connection: builder.serve_connection(io, service).with_upgrades(),
        drain: Some(drain.clone().cancelled_owned()),
    }
}

/// Serves HTTP/2. On `drain` no new streams are taken, and the connection ends
/// after the last open one.
///
/// # Errors
/// Of the connection; the peer's going away is one of them.
pub fn serve_http2<I, S>(
    builder: &http2::Builder<Spawner>,
    io: I,
    service: S,
    drain: &CancellationToken,
) -> impl Future<Output = Result<(), hyper::Error>> + Send + use<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: RelayService,
    S::Future: 'static,
{
    Serving {
        connection: builder.serve_connection(io, service),
        drain: Some(drain.clone().cancelled_owned()),
    }
}

/// A connection that can be told to end.
trait Drains: Future<Output = Result<(), hyper::Error>> {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S> Drains for http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: RelayService,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Drains for http2::Connection<I, S, Spawner>
where
    I: Read + Write + Unpin + Send + 'static,
    S: RelayService,
    S::Future: 'static,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

pin_project_lite::pin_project! {
    /// To the end of a connection. An `async` function would hold it twice, and what it
    /// is made of besides.
    struct Serving<C> {
        #[pin]
        connection: C,
        #[pin]
        drain: Option<WaitForCancellationFutureOwned>,
    }
}

impl<C: Drains> Future for Serving<C> {
    type Output = Result<(), hyper::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(drain) = this.drain.as_mut().as_pin_mut()
            && drain.poll(context).is_ready()
        {
            this.connection.as_mut().drain();
            this.drain.set(None);
        }
        this.connection.poll(context)
    }
}
