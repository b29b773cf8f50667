//! A request's body that can be sent once more: where the API server says goodbye
//! before it has looked at a request, the request goes over another connection.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_relay::{RelayBody, RelayError};

/// What is kept of a body, bytes. Kubernetes' own objects are seldom larger; beyond
/// it a body is sent once.
const KEPT: usize = 64 * 1024;

/// Keeps what was sent of a body, until somebody has answered.
pub(super) struct Replay(Arc<Mutex<Kept>>);

struct Kept {
    body: RelayBody,
    sent: Vec<Sent>,
    bytes: usize,
    /// All that was sent is in `sent`.
    whole: bool,
    /// Which of the bodies that were handed out is the last.
    turn: usize,
}

enum Sent {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

/// The body once more, from its beginning.
struct Again {
    kept: Arc<Mutex<Kept>>,
    turn: usize,
    at: usize,
}

impl Replay {
    pub(super) fn new(body: RelayBody) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            body,
            sent: Vec::new(),
            bytes: 0,
            whole: true,
            turn: 0,
        })))
    }

    /// The body from its beginning; nothing if too much of it was sent already. What
    /// was handed out before ends in an error.
    pub(super) fn body(&self) -> Option<RelayBody> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.whole {
            return None;
        }
        kept.turn += 1;
        let again = Again {
            kept: self.0.clone(),
            turn: kept.turn,
            at: 0,
        };
        Some(RelayBody::new(again))
    }
}

/// Nobody asks for it again: what is kept goes.
impl Drop for Replay {
    fn drop(&mut self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget();
    }
}

impl Kept {
    fn forget(&mut self) {
        self.whole = false;
        drop(mem::take(&mut self.sent));
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if !self.whole {
            return;
        }
        let sent = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Sent::Data(data.clone()),
            (_, Some(trailers)) => Sent::Trailers(trailers.clone()),
            _ => return,
        };
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
        if self.bytes > KEPT {
            self.forget();
        } else {
            self.sent.push(sent);
        }
    }
}

impl Sent {
    fn frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(trailers) => Frame::trailers(trailers.clone()),
        }
    }
}

impl Body for Again {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let kept = self.kept.clone();
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.turn != self.turn {
            return Poll::Ready(Some(Err(RelayError::Ended("it is sent elsewhere"))));
        }
        if let Some(sent) = kept.sent.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(sent.frame())));
        }
        let frame = ready!(Pin::new(&mut kept.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            kept.keep(frame);
            self.at = kept.sent.len();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.at >= kept.sent.len() && kept.body.is_end_stream()
    }

    /// Of the whole body while nothing was taken of it.
    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let left = kept.body.size_hint();
        let data = |sent: &Sent| match sent {
            Sent::Data(data) => data.len() as u64,
            Sent::Trailers(_) => 0,
        };
        let again: u64 = kept.sent.iter().skip(self.at).map(data).sum();
        match left.exact() {
            Some(left) => SizeHint::with_exact(left + again),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use http_relay::body::pass;
    use http_relay::body_channel;

    use super::*;

    async fn next(body: &mut RelayBody) -> Option<Bytes> {
        body.frame().await.unwrap().unwrap().into_data().ok()
    }

    #[tokio::test]
    async fn it_is_sent_from_its_beginning_and_once() {
        let (writer, body) = body_channel::channel();
        let replay = Replay::new(pass(body));
        let mut one = replay.body().unwrap();
        writer.send("first".into()).await.unwrap();
        assert_eq!(next(&mut one).await.unwrap(), "first");

        let mut two = replay.body().unwrap();
        assert!(one.frame().await.unwrap().is_err(), "its place is taken");
        assert_eq!(next(&mut two).await.unwrap(), "first");
        writer.send("second".into()).await.unwrap();
        assert_eq!(next(&mut two).await.unwrap(), "second");
        drop(replay);
        writer.send("third".into()).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(two.collect().await.unwrap().to_bytes(), "third");
    }

    #[tokio::test]
    async fn a_length_stays_what_it_was() {
        let replay = Replay::new(http_relay::body::full("hello"));
        let mut one = replay.body().unwrap();
        assert_eq!(one.size_hint().exact(), Some(5));
        next(&mut one).await.unwrap();
        assert!(one.is_end_stream());
        let two = replay.body().unwrap();
        assert_eq!(
            (two.size_hint().exact(), two.is_end_stream()),
            (Some(5), false)
        );
    }

    #[tokio::test]
    async fn what_is_large_is_sent_once() {
        let (writer, body) = body_channel::channel();
        let replay = Replay::new(pass(body));
        let mut one = replay.body().unwrap();
        for _ in 0..2 {
            writer.send(vec![0; KEPT].into()).await.unwrap();
            next(&mut one).await.unwrap();
        }
        assert!(replay.body().is_none());
        writer.finish().await.unwrap();
        one.collect().await.unwrap();
    }
}
