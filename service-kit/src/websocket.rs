//! Bytes both ways in the binary messages of a WebSocket (RFC 6455), for what lies between
//! and passes nothing else.

use std::future::ready;
use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, join};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

pub use tokio_tungstenite::tungstenite::handshake::client::generate_key;
pub use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
pub use tokio_tungstenite::tungstenite::protocol::Role;

/// Longest message that is taken, bytes. Ours are what HTTP/2 writes at once: a frame.
const MESSAGE: usize = 1 << 20;
/// A link has these for as long as it lives, bytes; their defaults are 128 KiB each.
const READ_BUFFER: usize = 16 << 10;
const WRITE_BUFFER: usize = 64 << 10;
/// What may wait to be written, bytes: a message of ours, and answers to pings. A peer
/// that pings and reads nothing gets fewer answers; the default is no bound.
const MOST_WAITING: usize = WRITE_BUFFER + 2 * MESSAGE;

/// What is written goes as messages, and what comes in messages is read. Pings of a box in
/// between are answered. A close is the end.
///
/// The connection has just become a WebSocket; nothing but what it carries was read of it.
pub async fn bytes_in_messages<S>(
    connection: S,
    role: Role,
) -> impl AsyncRead + AsyncWrite + Send + Unpin
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MOST_WAITING)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let socket = WebSocketStream::from_raw_socket(connection, role, Some(config)).await;
    let (messages, received) = socket.split();
    let received = received.filter_map(|message| ready(payload(message)));
    let messages = messages
        .with(|bytes: Bytes| ready(Ok::<_, Error>(Message::Binary(bytes))))
        .sink_map_err(io::Error::other);
    join(
        StreamReader::new(received),
        SinkWriter::new(CopyToBytes::new(messages)),
    )
}

fn payload(message: Result<Message, Error>) -> Option<io::Result<Bytes>> {
    match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        Ok(Message::Text(_)) => {
            let kind = io::ErrorKind::InvalidData;
            Some(Err(io::Error::new(kind, "a text message on the WebSocket")))
        }
        Ok(_) => None,
        Err(error) => Some(Err(io::Error::other(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn bytes_pass_both_ways_and_end() {
        let (near, far) = duplex(1000);
        let mut near = bytes_in_messages(near, Role::Client).await;
        let mut far = bytes_in_messages(far, Role::Server).await;
        let sent: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let there = async {
            for piece in sent.chunks(70_000) {
                near.write_all(piece).await.unwrap();
            }
            near.flush().await.unwrap();
            let mut answer = [0; 6];
            near.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"answer");
            near.shutdown().await.unwrap();
        };
        let back = async {
            let mut received = vec![0; sent.len()];
            far.read_exact(&mut received).await.unwrap();
            assert!(received == sent);
            far.write_all(b"answer").await.unwrap();
            far.flush().await.unwrap();
            assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
        };
        tokio::join!(there, back);
    }

    #[tokio::test]
    async fn what_is_no_bytes_is_an_error() {
        let (near, far) = duplex(1000);
        let mut near = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let mut far = bytes_in_messages(far, Role::Server).await;
        near.send(Message::Ping(Bytes::from_static(b"1")))
            .await
            .unwrap();
        near.send(Message::text("words")).await.unwrap();
        let error = far.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let pong = near.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong(Bytes::from_static(b"1")));
    }

    #[tokio::test]
    async fn who_pings_and_reads_nothing_fills_no_memory() {
        const PINGS: usize = 60_000;
        const LENGTH: usize = 125;
        let (near, far) = duplex(1000);
        let mut near = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let mut far = bytes_in_messages(far, Role::Server).await;
        let pings = async {
            for _ in 0..PINGS {
                let ping = Message::Ping(vec![7; LENGTH].into());
                near.send(ping).await.unwrap();
            }
            near.send(Message::binary(&b"end"[..])).await.unwrap();
            let mut answers = 0;
            loop {
                match near.next().await.unwrap().unwrap() {
                    Message::Pong(_) => answers += 1,
                    Message::Binary(_) => return answers,
                    _ => {}
                }
            }
        };
        let reads = async {
            let mut end = [0; 3];
            far.read_exact(&mut end).await.unwrap();
            far.write_all(b"read").await.unwrap();
            far.flush().await.unwrap();
        };
        let (answers, ()) = tokio::join!(pings, reads);
        // Without a bound all of them had been waiting at once.
        assert!(answers * LENGTH <= MOST_WAITING, "{answers} answers");
        assert!(answers > 0);
    }

    #[tokio::test]
    async fn a_message_without_end_is_refused() {
        let (mut near, far) = duplex(1000);
        let mut far = bytes_in_messages(far, Role::Client).await;
        // Binary, unmasked, of 2⁴⁰ bytes.
        let head = [0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0];
        near.write_all(&head).await.unwrap();
        far.read(&mut [0; 1]).await.unwrap_err();
    }
}
