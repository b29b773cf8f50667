//! Sends a body on an HTTP/2 stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

use crate::RelayBody;

/// Sends all of `body`, a piece whenever the peer has taken those before; a body that
/// fails resets the stream, and a peer that wants no more ends it. To be run as a task:
/// one that [knows its end](crate::stream_task), as the body's budget may have to end it.
pub async fn send_body(mut body: RelayBody, mut stream: SendStream<Bytes>) {
    // Only fails where the stream has ended, whose other half tells why.
    drop(try_send(&mut body, &mut stream).await);
}

async fn try_send(body: &mut RelayBody, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(frame) = next(body, stream).await? {
        let Ok(frame) = frame else {
            // Not with the body's own reason: it may be one that looks like an end.
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                room(stream, data.len()).await?;
                stream.send_data(data, is_last)?;
                if is_last {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
        }
    }
    stream.send_data(Bytes::new(), true)
}

type Item = Option<Result<Frame<Bytes>, crate::RelayError>>;

/// The body's next frame; fails when the peer resets the stream meanwhile.
async fn next(body: &mut RelayBody, stream: &mut SendStream<Bytes>) -> Result<Item, h2::Error> {
    poll_fn(|cx| {
        if let Poll::Ready(reset) = stream.poll_reset(cx) {
            return Poll::Ready(Err(reset.map_or_else(|error| error, h2::Error::from)));
        }
        Pin::new(&mut *body).poll_frame(cx).map(Ok)
    })
    .await
}

/// Waits until some of `length` bytes may go. Asked for when there is something to send
/// only, and for a byte: what is asked for is kept from all other streams.
async fn room(stream: &mut SendStream<Bytes>, length: usize) -> Result<(), h2::Error> {
    if length == 0 {
        return Ok(());
    }
    stream.reserve_capacity(1);
    while stream.capacity() == 0 {
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => drop(room?),
            // The peer has ended the stream.
            None => return Err(Reason::CANCEL.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::BodyExt;
    use tokio::task::spawn_local;

    use super::*;
    use crate::body::pass;
    use crate::body_channel::channel;
    use crate::h2_pair::stream;
    use crate::{H2Received, RelayError};

    #[tokio::test(flavor = "local")]
    async fn all_of_a_body_arrives_with_its_trailers() {
        let (caller, called) = stream().await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x", http::HeaderValue::from_static("y"));
        let (writer, body) = channel();
        let sent = trailers.clone();
        let body = body.with_trailers(async move { Some(Ok(sent)) });
        spawn_local(send_body(pass(body), caller.upload));
        let written = async {
            for piece in 0..64_u8 {
                writer.send(vec![piece; 64 * 1024].into()).await.unwrap();
            }
            writer.finish().await.unwrap();
        };
        let received = H2Received::new(called.upload, &HeaderMap::new());
        let ((), received) = tokio::join!(written, received.collect());
        let received = received.unwrap();
        assert_eq!(received.trailers(), Some(&trailers));
        let bytes = received.to_bytes();
        assert_eq!(bytes.len(), 64 * 64 * 1024);
        assert!(
            bytes
                .chunks(64 * 1024)
                .zip(0..64_u8)
                .all(|(piece, number)| piece[0] == number)
        );
    }

    #[tokio::test(flavor = "local")]
    async fn a_body_that_fails_is_a_reset_that_nobody_takes_for_an_end() {
        let (caller, called) = stream().await;
        let (writer, body) = channel();
        spawn_local(send_body(pass(body), caller.upload));
        writer.send(Bytes::from_static(b"x")).await.unwrap();
        writer.cut(RelayError::Ended("revoked")).await;
        let received = H2Received::new(called.upload, &HeaderMap::new());
        let error = received.collect().await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    }

    #[tokio::test(flavor = "local")]
    async fn a_peer_that_wants_no_more_ends_it() {
        let (caller, mut called) = stream().await;
        let (writer, body) = channel();
        spawn_local(send_body(pass(body), caller.upload));
        writer.send(Bytes::from_static(b"x")).await.unwrap();
        called.respond.send_reset(Reason::NO_ERROR);
        writer.closed().await;
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_stream_that_is_full_is_not_asked_for_more() {
        let (caller, called) = stream().await;
        let (writer, body) = channel();
        spawn_local(send_body(pass(body), caller.upload));
        let mut sent = 0;
        let piece = Bytes::from(vec![0; 16 * 1024]);
        // The window of HTTP/2's own default is 64 KiB.
        let full = async {
            loop {
                writer.send(piece.clone()).await.unwrap();
                sent += piece.len();
            }
        };
        let waits = tokio::time::timeout(std::time::Duration::from_millis(200), full);
        assert!(waits.await.is_err());
        assert!(sent < 256 * 1024, "{sent}");
        drop(called);
        writer.closed().await;
    }
}
