//! One link: an HTTP/2 server on the connection that we dialled.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_relay::RelayBody;
use http_relay::body::error_chain;
use http_relay::gathered_writes::gather;
use http_relay::stall_budget::LinkStalls;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service_kit::metered::Metered;
use service_kit::metrics::Counted;
use service_kit::stream_tasks::StreamTasks;
use service_kit::tasks::{Spawner, Tasks};
use tokio::sync::mpsc;
use tunnel_protocol::header::{STREAM, STREAM_CONTROL};
use tunnel_protocol::limits::{
    CONNECTION_WINDOW, FRAME, LINK_HEADERS, MAX_STREAMS, PENDING_RESETS, PING_EVERY, PING_TIMEOUT,
    REQUEST_WINDOW,
};

use crate::control::{self, Goodbye, LinkEvent};
use crate::handshake::Carried;
use crate::link_stats::LinkStats;
use crate::relay::Relay;

/// Length of HTTP/2's client preface, bytes.
const PREFACE: usize = 24;

/// Events that the lane has not taken yet; it takes them at once.
pub(crate) const EVENTS: usize = 8;

/// A link that is being served.
pub(crate) struct Link {
    relay: Arc<Relay>,
    stalls: LinkStalls,
    events: mpsc::Sender<LinkEvent>,
    stats: Arc<LinkStats>,
    goodbye: Goodbye,
    /// Between pings on the control stream.
    ping_every: Duration,
}

impl Link {
    /// On `goodbye` it takes no new streams, and ends after the last one. The deadline
    /// is the owner's, who drops what serves it.
    pub(crate) fn new(
        relay: Arc<Relay>,
        events: mpsc::Sender<LinkEvent>,
        stats: Arc<LinkStats>,
        goodbye: Goodbye,
        ping_every: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            stalls: relay.stalls.link(),
            relay,
            events,
            stats,
            goodbye,
            ping_every,
        })
    }

    /// Serves until the connection ends. Returns why it did, for the log.
    pub(crate) async fn serve(self: Arc<Self>, connection: Carried) -> String {
        // Owns this link's streams: they end with it.
        let tasks = Tasks::new();
        let (link, spawner) = (self.clone(), tasks.spawner());
        // Boxed: hyper moves it into a task of its own, and it is large.
        let service =
            service_fn(move |request| Box::pin(link.clone().dispatch(request, spawner.clone())));
        let connection = Metered::new(connection, self.stats.traffic.clone());
        // The server's preface comes first.
        let connection = self.stalls.gauge(connection, PREFACE);
        let (connection, writes) = gather(connection);
        let connection = TokioIo::new(connection);
        let mut connection =
            pin!(http2_settings(tasks.spawner()).serve_connection(connection, service));
        let mut goodbye = pin!(Some(self.goodbye.now.cancelled()));
        let serving = poll_fn(|cx| {
            if let Some(goodbye_now) = goodbye.as_mut().as_pin_mut()
                && goodbye_now.poll(cx).is_ready()
            {
                connection.as_mut().graceful_shutdown();
                goodbye.set(None);
            }
            connection.as_mut().poll(cx)
        });
        match writes.drive(serving).await {
            Ok(()) => "closed".to_owned(),
            Err(error) => error_chain(&error),
        }
    }

    async fn dispatch(
        self: Arc<Self>,
        request: Request<Incoming>,
        spawner: Spawner,
    ) -> Result<Response<RelayBody>, Infallible> {
        if request
            .headers()
            .get(STREAM)
            .is_some_and(|kind| kind == STREAM_CONTROL)
        {
            let (response, writer) = control::open();
            let (events, stats) = (self.events.clone(), self.stats.clone());
            let goodbye = self.goodbye.clone();
            let talk = control::run(
                request.into_body(),
                writer,
                events,
                stats,
                goodbye,
                self.ping_every,
            );
            spawner.spawn(talk);
            return Ok(response);
        }
        let open = Counted::new(&self.stats.open);
        Ok(self
            .relay
            .clone()
            .serve(request, &spawner, &self.stalls, open)
            .await)
    }
}

/// See [`tunnel_protocol::limits`] for what each setting was measured to do.
fn http2_settings(spawner: Spawner) -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(StreamTasks(spawner));
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(REQUEST_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(None)
        .max_header_list_size(LINK_HEADERS)
        .keep_alive_interval(rand::random_range(PING_EVERY))
        .keep_alive_timeout(PING_TIMEOUT)
        .auto_date_header(false);
    builder
}
