//! TCP for connections that many streams share.

use std::fmt::Debug;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Bytes that the kernel takes beyond what is on its way. With its own bound, which
/// grows to megabytes, a small answer stands in its queue behind all that bulk streams
/// have written: 300 to 500 ms were measured at 200 Mbit/s, 24 with 128 KiB, and 18 with
/// this. Smaller ones gave no more, and larger ones no more throughput.
const UNSENT: u32 = 16 * 1024;

/// Makes it send small messages at once, and queue few bytes.
pub fn make_prompt(stream: &TcpStream, peer: impl Debug) {
    // Without it a small answer waits for the peer's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(?peer, %error, "cannot switch off Nagle's algorithm");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(?peer, %error, "cannot bound what the kernel queues");
    }
}
