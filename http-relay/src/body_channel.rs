//! A body that is written by a task. Unlike other channels, a writer that is
//! dropped without [`BodyWriter::finish`] cuts the body: a task that was ended
//! must not look like a stream that came to its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

use crate::RelayError;

/// Chunks between the writing task and the connection. Flow control does the
/// rest; a deeper queue would only hold more memory a stream.
const DEPTH: usize = 2;

enum Item {
    Data(Bytes),
    End,
    Cut(RelayError),
}

/// The writing end.
#[derive(Debug)]
pub struct BodyWriter {
    sender: mpsc::Sender<Item>,
}

/// The body.
#[derive(Debug)]
pub struct ChannelBody {
    receiver: mpsc::Receiver<Item>,
    ended: bool,
}

/// The reader of the body is gone.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the body is gone")]
pub struct Gone;

/// A body and its writer.
#[must_use]
pub fn channel() -> (BodyWriter, ChannelBody) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (
        BodyWriter { sender },
        ChannelBody {
            receiver,
            ended: false,
        },
    )
}

impl BodyWriter {
    /// Sends a chunk; waits while the reader is behind.
    ///
    /// # Errors
    /// [`Gone`] when nobody reads any more.
    pub async fn send(&self, data: Bytes) -> Result<(), Gone> {
        self.sender.send(Item::Data(data)).await.map_err(|_| Gone)
    }

    /// Ends the body properly.
    ///
    /// # Errors
    /// [`Gone`] when nobody reads any more.
    pub async fn finish(self) -> Result<(), Gone> {
        self.sender.send(Item::End).await.map_err(|_| Gone)
    }

    /// Cuts the body, with a cause.
    pub async fn cut(self, error: RelayError) {
        // A reader that is gone needs no cause.
        drop(self.sender.send(Item::Cut(error)).await);
    }

    /// Resolves when nobody reads any more.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.receiver.poll_recv(cx));
        self.ended = !matches!(item, Some(Item::Data(_)));
        Poll::Ready(match item {
            Some(Item::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Item::End) => None,
            Some(Item::Cut(error)) => Some(Err(error)),
            None => Some(Err(RelayError::Ended("its writer was stopped"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn finish_is_an_end_and_a_drop_is_not() {
        let (writer, body) = channel();
        writer.send(Bytes::from_static(b"x")).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "x");

        let (writer, body) = channel();
        writer.send(Bytes::from_static(b"x")).await.unwrap();
        drop(writer);
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_reader_that_goes_is_noticed() {
        let (writer, body) = channel();
        drop(body);
        writer.closed().await;
        assert!(writer.send(Bytes::new()).await.is_err());
    }
}
