//! The client's end of a link's control stream.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http_relay::RelayBody;
use http_relay::body::pass;
use http_relay::body_channel::{self, BodyWriter};
use http_relay::control_messages::ControlMessages;
use http_relay::control_pings::{ControlPings, Due};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::control::{ClientMessage, ServerMessage, line};

use crate::link_stats::LinkStats;

/// As much of a replica's name as is kept, characters.
const LONGEST_NAME: usize = 64;

/// What a link tells its lane.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Callers can reach the cluster now.
    Registered {
        urls: Vec<String>,
        replica: String,
        replicas: u32,
    },
    /// What it says cannot be read: a link that can no longer be asked to end is of
    /// no use.
    Unreadable,
    /// It answered pings, and does no more.
    Silent,
    /// The server ends: dial anew after this time; the link is cut at `deadline`.
    Drain {
        reconnect_in: Duration,
        deadline: Duration,
    },
}

/// When the link takes no new requests any more.
#[derive(Clone, Debug)]
pub(crate) struct Goodbye {
    pub(crate) now: CancellationToken,
    /// How long open ones may go on then.
    pub(crate) deadline: Duration,
}

/// Answers the control stream. Returns the writer for our own messages.
pub(crate) fn open() -> (Response<RelayBody>, BodyWriter) {
    let (writer, body) = body_channel::channel();
    (Response::new(pass(body)), writer)
}

/// Talks with the server until the link ends, and tells it of the goodbye. The stream
/// ends then: it would keep a draining connection open.
pub(crate) async fn run(
    body: Incoming,
    writer: BodyWriter,
    events: mpsc::Sender<LinkEvent>,
    stats: Arc<LinkStats>,
    goodbye: Goodbye,
    ping_every: Duration,
) {
    let talk = Talk::new(&writer, &events, &stats, ping_every);
    tokio::select! {
        () = talk.talk(body) => {}
        () = goodbye.now.cancelled() => {}
        // Nobody listens any more: the link drains.
        () = events.closed() => {}
    }
    goodbye.now.cancelled().await;
    announce_drain(writer, goodbye.deadline).await;
}

struct Talk<'a> {
    writer: &'a BodyWriter,
    events: &'a mpsc::Sender<LinkEvent>,
    stats: &'a LinkStats,
    pings: ControlPings,
}

impl<'a> Talk<'a> {
    fn new(
        writer: &'a BodyWriter,
        events: &'a mpsc::Sender<LinkEvent>,
        stats: &'a LinkStats,
        ping_every: Duration,
    ) -> Self {
        Self {
            writer,
            events,
            stats,
            pings: ControlPings::new(ping_every),
        }
    }

    /// Until the server has ended its direction, cannot be understood, or is silent.
    async fn talk(mut self, body: Incoming) {
        let mut messages = ControlMessages::new(body);
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                due = self.pings.next() => match due {
                    Due::Ping(id) => {
                        self.say(&ClientMessage::Ping { id }).await;
                        continue;
                    }
                    Due::Overdue => return self.tell(LinkEvent::Silent).await,
                }
            };
            match message {
                Ok(Some(message)) => self.hear(message).await,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the server's control stream cannot be read on");
                    return self.tell(LinkEvent::Unreadable).await;
                }
            }
        }
    }

    async fn hear(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Registered {
                urls,
                replica,
                replicas,
            } => {
                let replica = name(&replica);
                self.tell(LinkEvent::Registered {
                    urls,
                    replica,
                    replicas,
                })
                .await;
            }
            ServerMessage::Drain {
                reconnect_in_ms,
                deadline_ms,
            } => {
                self.tell(LinkEvent::Drain {
                    reconnect_in: Duration::from_millis(reconnect_in_ms),
                    deadline: Duration::from_millis(deadline_ms),
                })
                .await;
            }
            ServerMessage::Ping { id } => self.say(&ClientMessage::Pong { id }).await,
            ServerMessage::Pong { id } => {
                if let Some(round_trip) = self.pings.answered(id) {
                    self.stats.measured(round_trip);
                }
            }
            ServerMessage::Unknown => {}
        }
    }

    /// Nobody listens where the link drains already.
    async fn tell(&self, event: LinkEvent) {
        drop(self.events.send(event).await);
    }

    /// Where nobody reads the link has ended.
    async fn say(&self, message: &ClientMessage) {
        drop(self.writer.send(line(message)).await);
    }
}

/// A replica's name as logs and metrics show it: the server may be a stranger's.
fn name(replica: &str) -> String {
    let shown = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    replica.chars().filter(shown).take(LONGEST_NAME).collect()
}

/// Tells the server that this link takes no new requests, and ends our direction
/// of the stream.
async fn announce_drain(writer: BodyWriter, deadline: Duration) {
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    // A server that is gone needs no announcement.
    if writer
        .send(line(&ClientMessage::Drain { deadline_ms }))
        .await
        .is_ok()
    {
        drop(writer.finish().await);
    }
}
