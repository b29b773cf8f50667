//! The client's end of a link's control stream.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use http_relay::RelayBody;
use http_relay::body::{error_chain, pass};
use http_relay::body_channel::{self, BodyWriter};
use http_relay::h2_error::is_peers_fault;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tunnel_protocol::control::{ClientMessage, Lines, ServerMessage, line};

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
pub(crate) async fn read(mut body: Incoming, events: mpsc::Sender<LinkEvent>) {
    let mut lines = Lines::default();
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // Nobody listens any more: the link drains. Held on to, the stream
            // would keep it open.
            () = events.closed() => return,
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) if is_peers_fault(&error) => {
                return cannot_be_read(&error_chain(&error), &events).await;
            }
            Some(Err(_)) | None => return,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        lines.push(data);
        loop {
            match lines.next_message() {
                Ok(Some(message)) => {
                    if let Some(event) = event(message)
                        && events.send(event).await.is_err()
                    {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => return cannot_be_read(&error.to_string(), &events).await,
            }
        }
    }
}

async fn cannot_be_read(error: &str, events: &mpsc::Sender<LinkEvent>) {
    tracing::warn!(error, "the server's control stream cannot be read on");
    // Nobody listens where the link drains already.
    drop(events.send(LinkEvent::Unreadable).await);
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
