//! What one request may take. Beside a tunnel it is another than alone.

use tunnel_protocol::limits::HEADER_LINES;

/// Bounds of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// What a reader that stands still can hold of an answer over HTTP/2, bytes.
    pub(crate) stream_window: u32,
    /// Header lines of a request or an answer over HTTP/1.1. hyper makes room for all
    /// of them for each: 1,000 cost 3 µs more than 256.
    pub(crate) header_lines: usize,
}

impl Capacity {
    /// At a round trip of 10 ms to the API server it lets 100 MB pass in a second.
    const ALONE: Self = Self {
        stream_window: 1024 * 1024,
        header_lines: 256,
    };
    /// tunnel-client's budget (`--stalled-mib`) lets 160 streams stand still; with what
    /// hyper has on its way they hold 70 MiB of the pod's 128. The API server is near.
    /// Callers may have a line for each of many groups.
    const BESIDE_TUNNEL: Self = Self {
        stream_window: 256 * 1024,
        header_lines: HEADER_LINES,
    };

    pub(crate) fn new(beside_tunnel: bool) -> Self {
        match beside_tunnel {
            true => Self::BESIDE_TUNNEL,
            false => Self::ALONE,
        }
    }
}
