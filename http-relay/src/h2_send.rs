//! Sends a body on an HTTP/2 stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

use crate::RelayBody;
use crate::stream_task::endable;

/// Sends all of `body`, a piece whenever the peer has taken those before; a body that
/// fails resets the stream, and a peer that wants no more ends it. To be run as a task:
/// one that the body's [`StreamHandle`](crate::stall_budget::StreamHandle) can end.
pub fn send_body(body: RelayBody, stream: SendStream<Bytes>) -> impl Future<Output = ()> {
    let sending = endable(send(body, stream));
    async {
        // Ended or not: then whoever ended it knows why.
        sending.await;
    }
}

async fn send(mut body: RelayBody, mut stream: SendStream<Bytes>) {
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
