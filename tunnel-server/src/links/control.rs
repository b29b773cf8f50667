//! The server's end of a link's control stream: what it tells the client, and what
//! it hears.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request};
use http_relay::H2Received;
use http_relay::body::{RelayBody, error_chain, pass};
use http_relay::body_channel::{self, BodyWriter};
use http_relay::control_messages::ControlMessages;
use http_relay::control_pings::{ControlPings, Due};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tunnel_protocol::control::{ClientMessage, ServerMessage, line};
use tunnel_protocol::header::{STREAM, STREAM_CONTROL};
use tunnel_protocol::limits::{HANDSHAKE_TIMEOUT, PING_EVERY};

use super::handshake::Turn;
use super::link::Link;
use crate::shared::Shared;

/// How long streams go on on a link that was replaced as it is worn.
const WORN_DEADLINE: Duration = Duration::from_secs(600);
/// The longest time within which the clients of a draining server dial anew.
pub(crate) const DRAIN_SPREAD: Duration = Duration::from_secs(2);
/// Who cuts at a server's deadline is the server, which tells callers why.
const LATER: Duration = Duration::from_secs(1);
/// Pings and pongs of the client that are not answered yet.
const HEARD: usize = 2;

/// What the speaker has to know of what is heard.
enum Heard {
    Ping(u64),
    Pong(u64),
}

/// Why nothing but a farewell is said any more.
enum Farewell {
    /// The client drains it, or it broke.
    Client,
    Server,
    Worn,
}

/// Says what is to be said.
pub(super) struct Speaker {
    writer: BodyWriter,
    heard: mpsc::Receiver<Heard>,
    pings: ControlPings,
}

/// Opens the stream: gives who speaks on it, and what is to run to hear the client,
/// whose answer ends the handshake's `turn`.
pub(super) fn open(
    link: Arc<Link>,
    turn: Turn,
) -> (Speaker, impl Future<Output = ()> + Send + 'static) {
    let (writer, body) = body_channel::channel();
    let (hears, heard) = mpsc::channel(HEARD);
    let speaker = Speaker {
        writer,
        heard,
        pings: ControlPings::new(rand::random_range(PING_EVERY)),
    };
    (speaker, listen(pass(body), link, hears, turn))
}

impl Speaker {
    /// Greets the client, and speaks until the link takes no new requests any more.
    pub(super) async fn speak(mut self, shared: &Shared, link: &Link, greeting: ServerMessage) {
        let mut message = greeting;
        let mut farewell = std::pin::pin!(farewell(shared, link));
        let farewell = loop {
            tokio::select! {
                farewell = farewell.as_mut() => break farewell,
                // A client that does not read is not waited for.
                sent = self.writer.send(line(&message)) => if sent.is_err() { return },
            }
            tokio::select! {
                farewell = farewell.as_mut() => break farewell,
                next = self.next(shared) => match next {
                    Some(next) => message = next,
                    None => return link.close("a ping was not answered"),
                },
            }
        };
        // Else what is heard from now on would wait for us, a farewell behind it.
        let Self { writer, heard, .. } = self;
        drop(heard);
        match farewell {
            Farewell::Client => drop(writer.finish().await),
            Farewell::Server => drain(writer, shared, link, shared.drain + LATER).await,
            Farewell::Worn => {
                tracing::info!(resets = shared.link_resets, "the link is replaced");
                drain(writer, shared, link, WORN_DEADLINE).await;
            }
        }
    }

    /// What is to be said next; nothing where the client is silent.
    async fn next(&mut self, shared: &Shared) -> Option<ServerMessage> {
        loop {
            tokio::select! {
                due = self.pings.next() => return match due {
                    Due::Ping(id) => Some(ServerMessage::Ping { id }),
                    Due::Overdue => None,
                },
                Some(heard) = self.heard.recv() => match heard {
                    Heard::Ping(id) => return Some(ServerMessage::Pong { id }),
                    Heard::Pong(id) => {
                        if let Some(round_trip) = self.pings.answered(id) {
                            shared.metrics.round_trip(round_trip);
                        }
                    }
                },
            }
        }
    }
}

/// Asks the client to dial elsewhere, and gives it the time to do so: the link
/// is taken by nobody else until then. What is open on this one may go on until
/// `deadline` has passed.
async fn drain(writer: BodyWriter, shared: &Shared, link: &Link, deadline: Duration) {
    let reconnect_in = shared.drain_spread();
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let message = ServerMessage::Drain {
        reconnect_in_ms: millis(reconnect_in),
        deadline_ms: millis(deadline),
    };
    let asked = async {
        drop(writer.send(line(&message)).await);
        std::future::pending().await
    };
    // The client says when it has another link, and ends this one.
    tokio::select! {
        () = asked => {}
        () = link.draining.cancelled() => {}
        () = shared.links_end.cancelled() => {}
    }
}

async fn farewell(shared: &Shared, link: &Link) -> Farewell {
    tokio::select! {
        () = link.draining.cancelled() => Farewell::Client,
        () = shared.draining.cancelled() => Farewell::Server,
        () = link.worn() => Farewell::Worn,
    }
}

/// Opens the control stream and reads the client's side of it.
async fn listen(body: RelayBody, link: Arc<Link>, hears: mpsc::Sender<Heard>, turn: Turn) {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("http://localhost/");
    request
        .headers_mut()
        .insert(STREAM, HeaderValue::from_static(STREAM_CONTROL));
    let answer = timeout(HANDSHAKE_TIMEOUT, link.control_stream(request, body)).await;
    drop(turn);
    match answer {
        Ok(Ok(answer)) => read(answer, &link, &hears).await,
        Ok(Err(error)) => tracing::debug!(error = error_chain(&error), "no control stream"),
        Err(_) => link.close("its client has not answered on the control stream in time"),
    }
}

async fn read(body: H2Received, link: &Link, hears: &mpsc::Sender<Heard>) {
    let mut messages = ControlMessages::new(body);
    loop {
        match messages.next().await {
            Ok(Some(message)) => hear(message, link, hears).await,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the client's control stream cannot be read on");
                return link.close("what its client says cannot be read");
            }
        }
    }
}

async fn hear(message: ClientMessage, link: &Link, hears: &mpsc::Sender<Heard>) {
    let heard = match message {
        ClientMessage::Drain { deadline_ms } => {
            // Once: a stranger is not to fill the log.
            if !link.draining.is_cancelled() {
                tracing::info!(deadline_ms, "the client drains");
            }
            return link.draining.cancel();
        }
        ClientMessage::Ping { id } => Heard::Ping(id),
        ClientMessage::Pong { id } => Heard::Pong(id),
        ClientMessage::Unknown => return,
    };
    // Nobody speaks any more where the link drains.
    drop(hears.send(heard).await);
}
