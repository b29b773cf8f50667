//! What one answer may hold in memory. Beside a tunnel it is another than alone.

/// Bounds of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// What a reader that stands still can hold of an answer over HTTP/2, bytes.
    pub(crate) stream_window: u32,
}

impl Capacity {
    /// At a round trip of 10 ms to the API server it lets 100 MB pass in a second.
    const ALONE: Self = Self {
        stream_window: 1024 * 1024,
    };
    /// tunnel-client's budget (`--stalled-mib`) lets 160 streams stand still; with what
    /// hyper has on its way they hold 70 MiB of the pod's 128. The API server is near.
    const BESIDE_TUNNEL: Self = Self {
        stream_window: 256 * 1024,
    };

    pub(crate) fn new(beside_tunnel: bool) -> Self {
        match beside_tunnel {
            true => Self::BESIDE_TUNNEL,
            false => Self::ALONE,
        }
    }
}
