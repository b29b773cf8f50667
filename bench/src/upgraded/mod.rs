//! Upgraded connections over a link, carried in two ways, with the product's own
//! parts: caller → near end (the server's) → link → far end (the client's) →
//! peer.

mod aborts;
mod ends;
mod memory;
mod peer;

pub use aborts::{Abort, observe};
pub use ends::{Route, Stream};
pub use memory::{IDLE_STREAMS, of_idle_streams, of_idle_streams_in_a_process};
pub use peer::{Peer, download, echo as open_echo, ping, upload};

use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper_util::rt::TokioTimer;
use service_kit::tasks::Spawner;
use tunnel_protocol::limits::{
    CONNECTION_WINDOW, FRAME, LINK_HEADERS, MAX_STREAMS, PENDING_RESETS, STREAM_WINDOW,
};

/// How an upgraded connection crosses the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Carrier {
    /// Not at all: the caller connects to the peer.
    Direct,
    /// A full-duplex POST with marker headers: bodies.
    Post,
    /// An extended CONNECT: hyper's `Upgraded` at both ends.
    Connect,
}

impl Carrier {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct, TCP",
            Self::Post => "POST with marker headers",
            Self::Connect => "extended CONNECT",
        }
    }
}

fn near_settings(spawner: Spawner) -> client::Builder<Spawner> {
    let mut builder = client::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(LINK_HEADERS);
    builder
}

fn far_settings(spawner: Spawner) -> server::Builder<Spawner> {
    let mut builder = server::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(None)
        .max_header_list_size(LINK_HEADERS)
        .enable_connect_protocol()
        .auto_date_header(false);
    builder
}
