//! The numbers both ends of a link agree on, each with where it comes from.
//!
//! hyper's defaults were measured on exactly this shape of traffic (long
//! watches beside short requests on one connection); most of them freeze or
//! kill the whole link when one stream misbehaves.

use std::time::Duration;

/// Version of the handshake and of what crosses a link.
pub const PROTOCOL_VERSION: u32 = 1;

/// Links that one tunnel-client may keep side by side: one to each of two replicas of
/// the server, and more under load.
pub const LANES: u8 = 8;

/// Path of the handshake on the base domain.
pub const HANDSHAKE_PATH: &str = "/tunnel/v1";

/// Flow-control window of the whole connection, bytes: the largest HTTP/2 has
/// (2³¹−1). With a smaller one a few stalled streams hold all credit and every
/// other request of the cluster stands still.
pub const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Flow-control window of an answer on a link, bytes. Credit comes back at half a
/// window, so a path needs twice its rate × delay: 4 MiB carries 200 Mbit/s at
/// 80 ms. It is also what one stalled stream may hold in memory, and the
/// processes are to stay under 64 MiB with a bulk transfer in each direction.
pub const STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// Flow-control window of a request's body on a link, bytes. Half of an answer's,
/// as it is tunnel-client that has to hold it, which has 192 MiB: 100 Mbit/s at
/// 80 ms (130 were measured, 60 with half of it, 160 with twice).
pub const REQUEST_WINDOW: u32 = 2 * 1024 * 1024;

/// Largest DATA frame, bytes. 16 KiB, the default, costs 30 % of throughput. With the
/// nine bytes before it it is as much as rustls takes at a time, and four whole records:
/// with nine bytes more there is a fifth one, and a system call, for these.
pub const FRAME: u32 = 64 * 1024 - 9;

/// Streams that tunnel-client takes on one link. Watches stay open for an hour
/// and one platform may hold hundreds on a cluster.
pub const MAX_STREAMS: u32 = 4096;

/// Streams that the server opens on one link before it answers 503. Below
/// [`MAX_STREAMS`], so that a stream that is just ending on the other side
/// never makes hyper queue a new one without bound.
pub const OPEN_STREAMS: usize = 4000;

/// Resets of streams that were not yet accepted, before the HTTP/2 server ends
/// the connection. The default is 20: 21 quick cancels would kill the link.
/// The peer is our authenticated server, so this guards nobody.
pub const PENDING_RESETS: usize = 50_000;

/// Decoded size of one header list on a link, bytes. The public listener
/// refuses more than [`CALLER_HEADERS`], so nothing that was let in can exceed
/// it and cost all callers their link.
pub const LINK_HEADERS: u32 = 256 * 1024;

/// Size of a caller's request headers that the public listener takes, bytes.
/// People in many groups send large ones; beyond it the answer is 431.
pub const CALLER_HEADERS: u32 = 64 * 1024;

/// Count of header lines on an HTTP/1.1 hop. hyper's 100 is too few for callers
/// with many groups; bytes are the bound that matters.
pub const HEADER_LINES: usize = 1000;

/// Bytes of the heads that one link's open streams may hold: a request's until its
/// answer begins, the answer's from then on. Ordinary ones are a kilobyte, so that
/// [`OPEN_STREAMS`] need a quarter of it; 64 callers with the largest do not fill it.
pub const LINK_HEADS: usize = 16 * 1024 * 1024;

/// What hyper reads ahead of an HTTP/1.1 connection while nobody takes its body,
/// bytes: its buffer grows to 408 KiB, and a frame is on its way.
pub const READ_AHEAD: u64 = 512 * 1024;

/// Bounds of the time between two pings, drawn once for a connection so that
/// links do not all ping at once.
pub const PING_EVERY: std::ops::Range<Duration> = Duration::from_secs(12)..Duration::from_secs(15);

/// How long a ping may be unanswered before the link is dead.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest control line, bytes, without its line feed.
pub const CONTROL_LINE: usize = 64 * 1024;

/// How long a handshake may take, from the accepted TCP connection to the
/// answer.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the cluster may take to send response headers once the request has
/// been sent whole. The API server gives up on an ordinary request after 60 s
/// and says so itself; this only catches a way that is broken.
pub const RESPONSE_HEADERS: Duration = Duration::from_secs(75);

/// How long a connection may take to switch once both sides have said so.
pub const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a write to a peer may make no progress before its connection is cut.
pub const WRITE_STALL: Duration = Duration::from_secs(600);

/// How long a peer that has got all is still listened to where nobody takes what it
/// sends, before its connection is closed. A caller behind a slow line needs the
/// time for what is on its way.
pub const LINGER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_public_listener_lets_in_fits_a_link() {
        const { assert!(CALLER_HEADERS * 2 < LINK_HEADERS) };
        const { assert!((OPEN_STREAMS as u32) < MAX_STREAMS) };
    }
}
