//! The client's end of a link's control stream.

use std::time::Duration;

use http::Response;
use http_relay::RelayBody;
use http_relay::body::pass;
use http_relay::body_channel::{self, BodyWriter};
use http_relay::control_messages::ControlMessages;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tunnel_protocol::control::{ClientMessage, ServerMessage, line};

/// What a link tells its connector.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Callers can reach the cluster now.
    Registered { urls: Vec<String>, replica: String },
    /// What it says cannot be read: a link that can no longer be asked to end is of
    /// no use.
    Unreadable,
    /// The server ends: dial anew after this time; the link is cut at `deadline`.
    Drain {
        reconnect_in: Duration,
        deadline: Duration,
    },
}

/// Answers the control stream. Returns the writer for our own messages.
pub(crate) fn open() -> (Response<RelayBody>, BodyWriter) {
    let (writer, body) = body_channel::channel();
    (Response::new(pass(body)), writer)
}

/// Reads the server's messages until the stream ends.
pub(crate) async fn read(body: Incoming, events: mpsc::Sender<LinkEvent>) {
    let mut messages = ControlMessages::new(body);
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            // Nobody listens any more: the link drains. Held on to, the stream
            // would keep it open.
            () = events.closed() => return,
        };
        let event = match message {
            Ok(Some(message)) => event(message),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the server's control stream cannot be read on");
                // Nobody listens where the link drains already.
                drop(events.send(LinkEvent::Unreadable).await);
                return;
            }
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}

fn event(message: ServerMessage) -> Option<LinkEvent> {
    match message {
        ServerMessage::Registered { urls, replica } => {
            Some(LinkEvent::Registered { urls, replica })
        }
        ServerMessage::Drain {
            reconnect_in_ms,
            deadline_ms,
        } => Some(LinkEvent::Drain {
            reconnect_in: Duration::from_millis(reconnect_in_ms),
            deadline: Duration::from_millis(deadline_ms),
        }),
        ServerMessage::Unknown => None,
    }
}

/// Tells the server that this link takes no new requests, and ends our direction
/// of the stream.
pub(crate) async fn announce_drain(writer: BodyWriter, deadline: Duration) {
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
