//! Public connections: TLS, then HTTP/1.1 or HTTP/2 by ALPN.

use std::future::pending;
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
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tunnel_protocol::limits::{
    CALLER_HEADERS, HANDSHAKE_TIMEOUT, HEADER_LINES, STREAM_WINDOW, WRITE_STALL,
};

use crate::gateway;
use crate::limits::{OpenConnection, Peer};
use crate::metrics::UnprovedEnd;
use crate::shared::Shared;

/// Protocols that the listener speaks, in order of preference.
pub(crate) const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Also how long an idle HTTP/1.1 connection is kept.
const HEADER_READ: Duration = Duration::from_secs(60);
/// For what is still to be said on a connection that is to end, as nobody has proved
/// anything on it.
const LAST_WORDS: Duration = Duration::from_secs(2);
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
        place,
        _counted: shared.metrics.connection(),
        closing: shared.draining.child_token(),
    };
    let Some(peer) = shared.limits.connection(address, open) else {
        return shared.metrics.connection_refused();
    };
    let peer = Arc::new(peer);
    tokio::select! {
        () = connection(&shared, tls, stream, &peer) => {}
        () = peer.crowded_out() => {
            shared.metrics.unproved_ended(UnprovedEnd::CrowdedOut);
            tracing::debug!(peer = %address, "had to make room for others");
        }
    }
}

async fn connection(shared: &Arc<Shared>, tls: TlsAcceptor, stream: TcpStream, peer: &Arc<Peer>) {
    let address = peer.address();
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(peer = %address, %error, "no TLS"),
        Err(_) => return tracing::debug!(peer = %address, "TLS took too long"),
    };
    let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = WriteStall::new(PacedRead::new(stream), WRITE_STALL);
    let service = service_fn(|request| {
        // Boxed: hyper moves it into a task of its own, and it is large.
        Box::pin(gateway::serve(shared.clone(), request, peer.clone()))
    });
    let serving = async {
        if speaks_h2 {
            let io = TokioIo::new(io);
            let builder = http2(shared.spawner.clone());
            serve_http2(&builder, io, service, peer.closing()).await
        } else {
            let tell = move |fault| tracing::debug!(peer = %address, %fault, "malformed request");
            let io = TokioIo::new(StrictHttp1::new(io, tell));
            serve_http1(&http1(), io, service, peer.closing()).await
        }
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = unproved(shared, peer) => {
            return tracing::debug!(peer = %address, "cut: it had proved nothing");
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %address, error = error_chain(&error), "connection ended");
    }
}

/// Until a connection is to be cut on which nobody has proved anything. In time it is
/// told to end, and so it is by a refusal or the server's own end; then it has a moment
/// left, for an answer to be taken or for a request that does prove something.
async fn unproved(shared: &Shared, peer: &Peer) {
    tokio::select! {
        () = peer.proved() => pending().await,
        () = peer.closing().cancelled() => {}
        () = sleep(shared.prove_within) => {
            shared.metrics.unproved_ended(UnprovedEnd::Late);
            peer.close();
        }
    }
    if timeout(LAST_WORDS, peer.proved()).await.is_ok() {
        pending().await
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
