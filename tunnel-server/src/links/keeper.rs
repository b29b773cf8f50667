//! Keeps one link from the end of its handshake to its end: HTTP/2, control
//! stream, registration, revocation, drain.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request};
use http_relay::body::{RelayBody, error_chain, pass};
use http_relay::body_channel::{self, BodyWriter};
use http_relay::control_messages::ControlMessages;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use service_kit::stream_tasks::StreamTasks;
use service_kit::tasks::{Spawner, Tasks};
use tokio::time::timeout;
use tunnel_protocol::control::{ClientMessage, ServerMessage, line};
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::header::{STREAM, STREAM_CONTROL};
use tunnel_protocol::limits::{
    CONNECTION_WINDOW, FRAME, HANDSHAKE_TIMEOUT, LINK_HEADERS, PING_EVERY, PING_TIMEOUT,
    STREAM_WINDOW,
};
use tunnel_protocol::token::TokenHash;

use super::handshake::LinksPlace;
use super::link::{Link, LinkName};
use super::wear::Wear;
use crate::access::{Cluster, connector_revoked};
use crate::audit::LinkRecord;
use crate::limits::Peer;
use crate::shared::Shared;

/// Streams that the client resets or that break on our side count against this;
/// a link that lives for weeks must not die of it, and a hostile client is cut.
const LOCAL_ERRORS: usize = 1_000_000;
/// Streams that were reset on our side and are remembered for a second; frames of others
/// count as such errors. h2's own 50 are forgotten as soon as callers cancel in a crowd.
const REMEMBERED: usize = 20_000;
/// How long streams go on on a link that was replaced as it is worn.
const WORN_DEADLINE: Duration = Duration::from_secs(600);
/// The longest time within which the clients of a draining server dial anew.
pub(crate) const DRAIN_SPREAD: Duration = Duration::from_secs(2);

/// What a handshake established.
pub(super) struct Accepted {
    pub(super) hello: Hello,
    pub(super) token: TokenHash,
    pub(super) cluster: Arc<Cluster>,
    /// The link's.
    pub(super) id: u64,
    /// Counts as long as the link lives.
    pub(super) peer: Arc<Peer>,
    /// As does its place.
    pub(super) place: LinksPlace,
}

/// Runs as long as the link lives.
pub(super) async fn keep(
    shared: Arc<Shared>,
    upgrade: OnUpgrade,
    accepted: Accepted,
    mut record: LinkRecord,
) {
    let ended = match timeout(HANDSHAKE_TIMEOUT, upgrade).await {
        Ok(Ok(connection)) => serve(&shared, connection, accepted).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Ok("the connection did not switch in time"),
    };
    let reason = ended.map_or_else(|error| Cow::from(error_chain(&error)), Cow::from);
    tracing::info!(reason = &*reason, "link ended");
    record.because(reason);
}

async fn serve(
    shared: &Arc<Shared>,
    connection: hyper::upgrade::Upgraded,
    accepted: Accepted,
) -> Result<&'static str, hyper::Error> {
    let Accepted {
        hello,
        token,
        cluster,
        id,
        peer: _peer,
        place: _place,
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
    let connection = TokioIo::new(stalls.gauge(TokioIo::new(connection), 0));
    let (sender, driver) = settings(tasks.spawner()).handshake(connection).await?;

    let name = LinkName {
        id,
        instance: hello.instance,
    };
    let link = Arc::new(Link::new(
        name,
        cluster.name.clone(),
        hello.generation,
        sender.clone(),
        stalls,
        Wear::new(shared.link_resets),
    ));
    let (control, control_body) = body_channel::channel();
    let registration = shared.registry.register(link);
    let link = registration.link().clone();
    tasks
        .spawner()
        .spawn(control_stream(sender, pass(control_body), link.clone()));
    let driven = link.clone();
    tasks.spawner().spawn(async move {
        if let Err(error) = driver.await {
            tracing::info!(error = error_chain(&error), "the connection broke");
        }
        // Also when the client says GOAWAY: the driver ends then, while the open
        // streams go on in tasks of their own.
        driven.draining.cancel();
    });
    let registered = ServerMessage::Registered {
        urls: shared.urls(&cluster.name),
        replica: shared.replica.clone(),
    };
    tracing::info!(client_version = hello.client_version, "linked");

    let revoked = connector_revoked(shared.store.clone(), changes, token, cluster);
    let ordered_end = async {
        tokio::select! {
            () = revoked => "its token was revoked",
            () = link.close.cancelled() => "replaced by a newer one of its instance",
        }
    };
    let mut ordered_end = std::pin::pin!(ordered_end);
    let open = async {
        // Ends with the link where the client does not read.
        drop(control.send(line(&registered)).await);
        tokio::select! {
            () = link.draining.cancelled() => drop(control.finish().await),
            () = shared.draining.cancelled() => drain(shared, &link, control, shared.drain).await,
            () = link.worn() => {
                tracing::info!(resets = shared.link_resets, "the link is replaced");
                drain(shared, &link, control, WORN_DEADLINE).await;
            }
        }
    };
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

/// Asks the client to dial elsewhere, and gives it the time to do so: the link
/// is taken by nobody else until then. What is open on this one may go on until
/// `deadline` has passed.
async fn drain(shared: &Shared, link: &Link, control: BodyWriter, deadline: Duration) {
    let reconnect_in = DRAIN_SPREAD.min(shared.drain / 4).mul_f64(rand::random());
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let message = ServerMessage::Drain {
        reconnect_in_ms: millis(reconnect_in),
        deadline_ms: millis(deadline),
    };
    drop(control.send(line(&message)).await);
    // The client says when it has another link, and ends this one.
    tokio::select! {
        () = link.draining.cancelled() => {}
        () = shared.links_end.cancelled() => {}
    }
}

/// Opens the control stream and reads the client's side of it.
async fn control_stream(mut sender: SendRequest<RelayBody>, body: RelayBody, link: Arc<Link>) {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("http://localhost/");
    request
        .headers_mut()
        .insert(STREAM, HeaderValue::from_static(STREAM_CONTROL));
    match sender.send_request(request).await {
        Ok(response) => read_control(response.into_body(), &link).await,
        Err(error) => tracing::debug!(error = error_chain(&error), "no control stream"),
    }
}

async fn read_control(body: Incoming, link: &Link) {
    let mut messages = ControlMessages::new(body);
    loop {
        match messages.next().await {
            Ok(Some(ClientMessage::Drain { deadline_ms })) => {
                // Once: a stranger is not to fill the log.
                if !link.draining.is_cancelled() {
                    tracing::info!(deadline_ms, "the client drains");
                }
                link.draining.cancel();
            }
            Ok(Some(ClientMessage::Unknown)) => {}
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the client's control stream cannot be read on");
                return link.close.cancel();
            }
        }
    }
}

/// See [`tunnel_protocol::limits`] for what each setting was measured to do.
fn settings(spawner: Spawner) -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(StreamTasks(spawner));
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(LINK_HEADERS)
        .max_local_error_reset_streams(LOCAL_ERRORS)
        .max_concurrent_reset_streams(REMEMBERED)
        .keep_alive_interval(rand::random_range(PING_EVERY))
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    builder
}
