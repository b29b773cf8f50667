//! Runs a link's HTTP/2 until the connection ends.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use http_relay::body::error_chain;
use http_relay::gathered_writes::{GatheredWrites, SendGathered};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tunnel_protocol::limits::{PING_EVERY, PING_TIMEOUT};

use super::link::Link;

/// Runs the connection until it ends: by itself, with the last stream after a goodbye of
/// the client's, or as a ping of HTTP/2's is not answered, which is for clients that do
/// not answer those of the control stream.
pub(super) async fn drive<T>(
    mut connection: Connection<GatheredWrites<T>, Bytes>,
    writes: SendGathered<T>,
    link: Arc<Link>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let pings = connection.ping_pong();
    let silent = async {
        match pings {
            Some(pings) => until_silent(pings, || link.reads()).await,
            None => pending().await,
        }
    };
    tokio::select! {
        ended = writes.drive(&mut connection) => if let Err(error) = ended {
            tracing::info!(error = error_chain(&error), "the connection broke");
        },
        () = silent => link.close("a ping was not answered"),
    }
    link.draining.cancel();
}

/// Until a ping is not answered and nothing else comes, either: the answer may stand behind
/// much that is on its way.
async fn until_silent(mut pings: PingPong, reads: impl Fn() -> u64) {
    let mut due = interval(rand::random_range(PING_EVERY));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let mut pong = std::pin::pin!(pings.ping(Ping::opaque()));
        loop {
            let before = reads();
            match timeout(PING_TIMEOUT, pong.as_mut()).await {
                Ok(Ok(_)) => break,
                // The connection's end is told by itself.
                Ok(Err(_)) => pending().await,
                Err(_) if reads() == before => return,
                Err(_) => {}
            }
        }
    }
}
