//! Public connections: HTTP/1.1 or HTTP/2, as TLS has agreed on.

use std::fmt;
use std::future::pending;
use std::io;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tunnel_protocol::limits::{
    CALLER_HEADERS, HANDSHAKE_TIMEOUT, HEADER_LINES, STREAM_WINDOW, WRITE_STALL,
};

use crate::client_address::ClientAddress;
use crate::front::Front;
use crate::gateway;
use crate::limits::{Connection, OpenConnection};
use crate::metrics::UnprovedEnd;
use crate::placement::Placed;
use crate::shared::Shared;

/// Protocols that the listener speaks, in order of preference.
pub(crate) const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Also how long an idle HTTP/1.1 connection is kept.
const HEADER_READ: Duration = Duration::from_secs(60);
/// The same of a load balancer, which is to be the first that ends one: a request that
/// meets our end is lost. Google's keep one for 600 s, Amazon's for 4,000 s at most.
const PROXYS_HEADER_READ: Duration = Duration::from_secs(4_100);
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

/// What HTTP is spoken on.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Carrier for T {}

/// A connection that HTTP can be spoken on.
pub(crate) struct Secured<C> {
    pub(crate) stream: C,
    /// Both sides agreed on HTTP/2.
    pub(crate) speaks_h2: bool,
}

/// Serves one connection to its end, once it has passed the front.
pub(crate) async fn serve<S: Send + 'static, F: Front<S>>(
    shared: Arc<Shared>,
    front: Arc<F>,
    mut stream: S,
    address: SocketAddr,
    place: Place,
) {
    let open = OpenConnection {
        place,
        _counted: shared.metrics.connection(),
        closing: shared.draining.child_token(),
    };
    let until = Instant::now() + HANDSHAKE_TIMEOUT;
    // Who announces others is trusted for those, not for what it does not announce.
    let mut may_be_shared = true;
    let address = match front.announced(&mut stream) {
        None => address,
        Some(announced) => {
            // Boxed, as what follows is: else it keeps its room as long as the
            // connection lives.
            let announced = Box::pin(timeout_at(until, announced));
            match announced_address(&shared, announced, address, &open).await {
                Some(Some(announced)) => announced,
                Some(None) => {
                    may_be_shared = false;
                    address
                }
                None => return,
            }
        }
    };
    let address = ClientAddress::from(address);
    let is_shared = may_be_shared && shared.trusted_proxies.has(address.ip());
    let connection = if is_shared {
        shared.limits.shared(address, open)
    } else {
        match shared.limits.connection(address, open) {
            Some(connection) => connection,
            None => return shared.metrics.connection_refused(),
        }
    };
    let placed = tokio::select! {
        placed = Box::pin(front.place(stream)) => placed,
        () = connection.crowded_out() => return crowded_out(&shared, &address),
    };
    let there = move |stream| on_its_thread(shared, front, stream, connection, until);
    match placed {
        Ok(Placed::Here(stream)) => there(stream).await,
        Ok(Placed::There(spawner, attach)) => spawner.spawn(async move {
            match attach() {
                Ok(stream) => there(stream).await,
                Err(error) => tracing::warn!(peer = %address, %error, "cannot serve it"),
            }
        }),
        Err(error) => tracing::warn!(peer = %address, %error, "cannot serve it"),
    }
}

/// Serves one connection where it stays.
async fn on_its_thread<S: Send + 'static, F: Front<S>>(
    shared: Arc<Shared>,
    front: Arc<F>,
    stream: S,
    connection: Connection,
    until: Instant,
) {
    let connection = Arc::new(connection);
    let is_shared = connection.is_shared();
    let secured = Box::pin(async move { timeout_at(until, front.secure(stream, is_shared)).await });
    tokio::select! {
        () = speak(&shared, secured, &connection) => {}
        () = connection.crowded_out() => crowded_out(&shared, &connection.address()),
    }
}

fn crowded_out(shared: &Shared, address: &dyn fmt::Display) {
    shared.metrics.unproved_ended(UnprovedEnd::CrowdedOut);
    tracing::debug!(peer = %address, "had to make room for others");
}

/// Whose connection it is, where that is known to who announces; nothing where it is not
/// announced as it has to be.
async fn announced_address(
    shared: &Shared,
    announced: impl Future<Output = Result<io::Result<Option<SocketAddr>>, Elapsed>>,
    address: SocketAddr,
    open: &OpenConnection,
) -> Option<Option<SocketAddr>> {
    let arriving = shared.limits.arriving(address.ip(), &open.place);
    let announced = tokio::select! {
        announced = announced => announced,
        () = arriving.crowded_out() => {
            crowded_out(shared, &address);
            return None;
        }
    };
    match announced {
        Ok(Ok(announced)) => return Some(announced),
        Ok(Err(error)) => tracing::debug!(peer = %address, %error, "cut"),
        Err(_) => tracing::debug!(peer = %address, "PROXY protocol took too long"),
    }
    None
}

async fn speak<C: Carrier>(
    shared: &Arc<Shared>,
    secured: impl Future<Output = Result<io::Result<Secured<C>>, Elapsed>>,
    connection: &Arc<Connection>,
) {
    let address = connection.address();
    let Secured { stream, speaks_h2 } = match secured.await {
        Ok(Ok(secured)) => secured,
        Ok(Err(error)) => return tracing::debug!(peer = %address, %error, "no TLS"),
        Err(_) => return tracing::debug!(peer = %address, "TLS took too long"),
    };
    let io = WriteStall::new(PacedRead::new(stream), WRITE_STALL);
    let service = service_fn(|request| {
        // Boxed: hyper moves it into a task of its own, and it is large.
        Box::pin(gateway::serve(shared.clone(), request, connection.clone()))
    });
    let serving = async {
        if speaks_h2 {
            let io = TokioIo::new(io);
            let builder = http2(shared.spawner.clone());
            serve_http2(&builder, io, service, connection.closing()).await
        } else {
            let tell = move |fault| tracing::debug!(peer = %address, %fault, "malformed request");
            let io = TokioIo::new(StrictHttp1::new(io, tell));
            let builder = http1(match connection.is_shared() {
                true => PROXYS_HEADER_READ,
                false => HEADER_READ,
            });
            serve_http1(&builder, io, service, connection.closing()).await
        }
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = unproved(shared, connection) => {
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
async fn unproved(shared: &Shared, connection: &Connection) {
    tokio::select! {
        () = connection.proved() => pending().await,
        () = connection.closing().cancelled() => {}
        () = sleep(shared.prove_within) => {
            shared.metrics.unproved_ended(UnprovedEnd::Late);
            connection.close();
        }
    }
    if timeout(LAST_WORDS, connection.proved()).await.is_ok() {
        pending().await
    }
}

fn http1(header_read: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_read)
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
