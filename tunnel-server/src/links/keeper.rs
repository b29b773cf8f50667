//! Keeps one link from the end of its handshake to its end: HTTP/2, registration,
//! revocation.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use h2::client;
use http_relay::body::error_chain;
use http_relay::gathered_writes::gather;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use service_kit::metered::Metered;
use service_kit::tasks::Tasks;
use service_kit::websocket::{Role, bytes_in_messages};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::either::Either;
use tunnel_protocol::carrier::Carrier;
use tunnel_protocol::control::ServerMessage;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::limits::{
    CONNECTION_WINDOW, FRAME, HANDSHAKE_TIMEOUT, LINK_HEADERS, OPEN_STREAMS, STREAM_WINDOW,
};
use tunnel_protocol::token::TokenHash;

use super::control;
use super::driver::drive;
use super::handshake::{LinksPlace, Turn};
use super::link::{Link, LinkName};
use super::wear::Wear;
use crate::access::{Cluster, connector_revoked};
use crate::audit::LinkRecord;
use crate::limits::Connection;
use crate::shared::Shared;

/// Streams that the client resets or that break on our side count against this;
/// a link that lives for weeks must not die of it, and a hostile client is cut.
const LOCAL_ERRORS: usize = 1_000_000;
/// Streams that were reset on our side and are remembered for a second; frames of others
/// count as such errors. h2's own 50 are forgotten as soon as callers cancel in a crowd.
const REMEMBERED: usize = 20_000;
/// Streams that may be opened before the client has said how many it takes: ours takes
/// more, and many may wait for its link. One is the control stream.
const AT_FIRST: usize = OPEN_STREAMS + 1;
/// What may wait of a stream's body until it is written, bytes.
const SEND_BUFFER: usize = 1024 * 1024;
/// For a client that only looks whether a link would live.
const CHECK: Duration = Duration::from_secs(60);

/// What a handshake established.
pub(super) struct Accepted {
    pub(super) carrier: Carrier,
    pub(super) hello: Hello,
    pub(super) token: TokenHash,
    pub(super) cluster: Arc<Cluster>,
    /// The link's.
    pub(super) id: u64,
    /// Counts as long as the link lives.
    pub(super) connection: Arc<Connection>,
    /// As does its place.
    pub(super) place: LinksPlace,
    /// The handshake's.
    pub(super) turn: Turn,
}

/// Runs as long as the link lives.
pub(super) async fn keep(
    shared: Arc<Shared>,
    upgrade: OnUpgrade,
    accepted: Accepted,
    mut record: LinkRecord,
) {
    let started = Instant::now();
    let ended = match timeout(HANDSHAKE_TIMEOUT, upgrade).await {
        Ok(Ok(connection)) => serve(&shared, connection, accepted)
            .await
            .map_err(|error| error_chain(&error)),
        Ok(Err(error)) => Err(error_chain(&error)),
        Err(_) => Ok("the connection did not switch in time"),
    };
    let reason = ended.map_or_else(Cow::from, Cow::from);
    let lived = started.elapsed();
    tracing::info!(reason = &*reason, lived_s = lived.as_secs(), "link ended");
    shared.metrics.link_ended(lived);
    record.because(reason);
}

async fn serve(
    shared: &Arc<Shared>,
    connection: hyper::upgrade::Upgraded,
    accepted: Accepted,
) -> Result<&'static str, h2::Error> {
    let Accepted {
        carrier,
        hello,
        token,
        cluster,
        id,
        connection: _counted,
        place: _place,
        turn,
    } = accepted;
    // Before the token is trusted for the link's life, so that no change between
    // the handshake and here is missed.
    let changes = shared.store.changes();
    if !matches!(shared.store.connector(token).await, Ok(Some(now)) if now.name == cluster.name) {
        return Ok("its token was revoked");
    }
    // Owns the link's tasks: they end with it.
    let tasks = Tasks::new();
    let stalls = shared.stalls.link();
    let traffic = shared.metrics.link_traffic();
    let connection = TokioIo::new(connection);
    let connection = match carrier {
        Carrier::Upgrade => Either::Left(connection),
        Carrier::WebSocket => {
            let bytes = bytes_in_messages(connection, Role::Server).await;
            // Boxed: it is large, and rare.
            Either::Right(Box::new(bytes))
        }
    };
    let connection = Metered::new(connection, traffic);
    let connection = stalls.gauge(connection, 0);
    let (connection, writes) = gather(connection);
    let (sender, connection) = settings().handshake(connection).await?;

    let check = hello.check;
    let name = LinkName {
        id,
        instance: hello.instance,
        lane: hello.lane,
    };
    let link = Arc::new(Link::new(
        name,
        cluster.name.clone(),
        hello.generation,
        sender,
        tasks.spawner(),
        stalls,
        Wear::new(shared.link_resets),
    ));
    // Who only looks is sent no requests.
    let _registration = (!check).then(|| shared.registry.register(link.clone()));
    let (speaker, listener) = control::open(link.clone(), turn);
    tasks.spawner().spawn(listener);
    tasks
        .spawner()
        .spawn(drive(connection, writes, link.clone()));
    let registered = ServerMessage::Registered {
        urls: shared.urls(&cluster.name),
        replica: shared.replica.clone(),
        replicas: shared.replicas,
    };
    tracing::info!(
        client_version = hello.client_version,
        carrier = carrier.name(),
        "linked"
    );

    let revoked = connector_revoked(shared.store.clone(), changes, token, cluster);
    let ordered_end = async {
        tokio::select! {
            () = revoked => "its token was revoked",
            reason = link.closed() => reason,
            () = sleep(CHECK), if check => "it was to look only, and has stayed for long",
        }
    };
    let mut ordered_end = std::pin::pin!(ordered_end);
    let open = speaker.speak(shared, &link, registered);
    tokio::select! {
        reason = ordered_end.as_mut() => return Ok(reason),
        () = open => {}
    }
    link.draining.cancel();
    tokio::select! {
        reason = ordered_end => Ok(reason),
        () = tasks.ended() => Ok("the client has closed it"),
        () = shared.links_end.cancelled() => Ok("drained"),
    }
}

/// See [`tunnel_protocol::limits`] for what each setting was measured to do.
fn settings() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(LINK_HEADERS)
        .initial_max_send_streams(AT_FIRST)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(LOCAL_ERRORS))
        .max_concurrent_reset_streams(REMEMBERED)
        .enable_push(false);
    builder
}
