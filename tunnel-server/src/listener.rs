//! Public connections: TLS, then HTTP/1.1 or HTTP/2 by ALPN.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_relay::body::error_chain;
use http_relay::strict_http1::StrictHttp1;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service_kit::accept::Place;
use service_kit::http_server::{serve_http1, serve_http2};
use service_kit::paced_read::PacedRead;
use service_kit::tasks::Spawner;
use service_kit::write_stall::WriteStall;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::limits::{
    CALLER_HEADERS, HANDSHAKE_TIMEOUT, HEADER_LINES, STREAM_WINDOW, WRITE_STALL,
};

use crate::gateway;
use crate::limits::OpenConnection;
use crate::shared::Shared;

/// Protocols that the listener speaks, in order of preference.
pub(crate) const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Also how long an idle HTTP/1.1 connection is kept.
const HEADER_READ: Duration = Duration::from_secs(60);
/// For the first request of a connection; browsers open some ahead of need.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// Requests that one caller's HTTP/2 connection may have open. Go's client opens
/// a further connection beyond it.
const CALLER_STREAMS: u32 = 250;
/// Credit of one caller's connection, bytes: a caller that stalls one stream
/// stalls its own others only.
const CALLER_WINDOW: u32 = 2 * STREAM_WINDOW;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves one connection to its end.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
) {
    let open = OpenConnection {
        _place: place,
        _counted: shared.metrics.connection(),
    };
    let Some(peer) = shared.limits.connection(address, open) else {
        return shared.metrics.connection_refused();
    };
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(peer = %address, %error, "no TLS"),
        Err(_) => return tracing::debug!(peer = %address, "TLS took too long"),
    };
    let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = WriteStall::new(PacedRead::new(stream), WRITE_STALL);
    let (spawner, draining) = (shared.spawner.clone(), shared.draining.clone());
    let peer = Arc::new(peer);
    let begun = CancellationToken::new();
    let first_request = begun.clone();
    let service = service_fn(move |request| {
        first_request.cancel();
        // Boxed: hyper moves it into a task of its own, and it is large.
        Box::pin(gateway::serve(shared.clone(), request, peer.clone()))
    });
    let serving = async {
        if speaks_h2 {
            let io = TokioIo::new(io);
            serve_http2(&http2(spawner), io, service, &draining).await
        } else {
            let tell = move |fault| tracing::debug!(peer = %address, %fault, "malformed request");
            let io = TokioIo::new(StrictHttp1::new(io, tell));
            serve_http1(&http1(), io, service, &draining).await
        }
    };
    // hyper's HTTP/2 has no timer before the preface.
    let silent = async {
        if timeout(FIRST_REQUEST, begun.cancelled()).await.is_ok() {
            std::future::pending().await
        }
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = silent => return tracing::debug!(peer = %address, "no request came"),
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %address, error = error_chain(&error), "connection ended");
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_headers(HEADER_LINES)
        .max_header_size(CALLER_HEADERS as usize)
        .auto_date_header(false);
    builder
}

fn http2(spawner: Spawner) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CALLER_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(CALLER_STREAMS)
        .max_header_list_size(CALLER_HEADERS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .auto_date_header(false);
    builder
}
