//! A request's body that can be sent once more: where the API server says goodbye
//! before it has looked at a request, the request goes over another connection.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_relay::{RelayBody, RelayError};

use super::http2::Place;

/// What is kept of a body, bytes. Kubernetes' own objects are seldom larger; beyond
/// it a body is sent once.
const KEPT: usize = 64 * 1024;
/// What is kept of all bodies together, bytes. A body that finds no room is sent once.
const KEPT_IN_ALL: usize = 8 * 1024 * 1024;

/// What is kept of all bodies.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// Keeps what was sent of a body, until it is dropped; what is being sent again then
/// goes on to its end.
pub(super) struct Replay(Arc<Mutex<Kept>>);

struct Kept {
    body: RelayBody,
    /// Copied: a slice would hold all of the buffer that it was read into.
    data: BytesMut,
    trailers: Option<HeaderMap>,
    /// How much of the data, and whether the trailers, were sent in this turn.
    at: usize,
    ended: bool,
    /// All that was sent is kept, and goes on to be.
    whole: bool,
    /// Which of the bodies that were handed out is the last.
    turn: usize,
    room: Room,
}

/// The body once more, from its beginning.
struct Again {
    kept: Arc<Mutex<Kept>>,
    turn: usize,
    /// A stream is open as long as its request is sent.
    _place: Option<Place>,
}

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > KEPT_IN_ALL {
            self.give_back(bytes);
            return false;
        }
        true
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Replay {
    pub(super) fn new(body: RelayBody, room: Room) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            body,
            data: BytesMut::new(),
            trailers: None,
            at: 0,
            ended: false,
            whole: true,
            turn: 0,
            room,
        })))
    }

    /// The body from its beginning; nothing if too much of it was sent already. What
    /// was handed out before ends in an error.
    pub(super) fn body(&self, place: Option<Place>) -> Option<RelayBody> {
        let mut kept = lock(&self.0);
        if !kept.whole {
            return None;
        }
        kept.turn += 1;
        (kept.at, kept.ended) = (0, false);
        let again = Again {
            kept: self.0.clone(),
            turn: kept.turn,
            _place: place,
        };
        Some(RelayBody::new(again))
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let mut kept = lock(&self.0);
        kept.whole = false;
        kept.forget_what_was_sent();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.give_back(self.data.len());
    }
}

impl Kept {
    /// The next frame of what is kept.
    fn again(&mut self) -> Option<Frame<Bytes>> {
        if self.at < self.data.len() {
            let data = Bytes::copy_from_slice(self.data.get(self.at..)?);
            self.at = self.data.len();
            if !self.whole {
                self.forget_what_was_sent();
            }
            return Some(Frame::data(data));
        }
        if self.ended {
            return None;
        }
        let trailers = self.trailers.clone()?;
        self.ended = true;
        Some(Frame::trailers(trailers))
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.ended = true;
        }
        let Some(data) = frame.data_ref().filter(|_| self.whole) else {
            return;
        };
        if self.data.len() + data.len() <= KEPT && self.room.take(data.len()) {
            self.data.extend_from_slice(data);
            self.at = self.data.len();
        } else {
            self.whole = false;
            self.forget_what_was_sent();
        }
    }

    fn forget_what_was_sent(&mut self) {
        let left = self.data.split_off(self.at.min(self.data.len()));
        let sent = mem::replace(&mut self.data, left);
        self.room.give_back(sent.len());
        self.at = 0;
    }
}

impl Body for Again {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let mut kept = lock(&self.kept);
        if kept.turn != self.turn {
            return Poll::Ready(Some(Err(RelayError::Ended("it is sent elsewhere"))));
        }
        if let Some(frame) = kept.again() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if kept.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut kept.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            kept.keep(frame);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = lock(&self.kept);
        let all_again = kept.at >= kept.data.len() && (kept.ended || kept.trailers.is_none());
        all_again && kept.body.is_end_stream()
    }

    /// Of the whole body while nothing was taken of it.
    fn size_hint(&self) -> SizeHint {
        let kept = lock(&self.kept);
        let again = kept.data.len().saturating_sub(kept.at) as u64;
        match kept.body.size_hint().exact() {
            Some(left) => SizeHint::with_exact(left + again),
            None => SizeHint::default(),
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use http_relay::body::{full, pass};
    use http_relay::body_channel;

    use super::*;

    async fn next(body: &mut RelayBody) -> Option<Bytes> {
        body.frame().await.unwrap().unwrap().into_data().ok()
    }

    #[tokio::test]
    async fn it_is_sent_from_its_beginning_and_once() {
        let (writer, body) = body_channel::channel();
        let room = Room::default();
        let replay = Replay::new(pass(body), room.clone());
        let mut one = replay.body(None).unwrap();
        writer.send("first".into()).await.unwrap();
        assert_eq!(next(&mut one).await.unwrap(), "first");

        let mut two = replay.body(None).unwrap();
        assert!(one.frame().await.unwrap().is_err(), "its place is taken");
        assert_eq!(next(&mut two).await.unwrap(), "first");
        writer.send("second".into()).await.unwrap();
        assert_eq!(next(&mut two).await.unwrap(), "second");
        drop(replay);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
        writer.send("third".into()).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(two.collect().await.unwrap().to_bytes(), "third");
    }

    /// Its answer came while it was being sent again.
    #[tokio::test]
    async fn what_was_not_sent_again_yet_is_not_lost() {
        let (writer, body) = body_channel::channel();
        let replay = Replay::new(pass(body), Room::default());
        let mut one = replay.body(None).unwrap();
        writer.send("first".into()).await.unwrap();
        next(&mut one).await.unwrap();
        let two = replay.body(None).unwrap();
        drop((replay, one));
        writer.send("second".into()).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(two.collect().await.unwrap().to_bytes(), "firstsecond");
    }

    #[tokio::test]
    async fn trailers_are_sent_again_too() {
        let mut trailers = HeaderMap::new();
        trailers.insert("a", "b".parse().unwrap());
        let body = full("hello").with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
        let replay = Replay::new(pass(body), Room::default());
        for _ in 0..2 {
            let collected = replay.body(None).unwrap().collect().await.unwrap();
            assert_eq!(collected.trailers(), Some(&trailers));
            assert_eq!(collected.to_bytes(), "hello");
        }
    }

    #[tokio::test]
    async fn a_length_stays_what_it_was() {
        let replay = Replay::new(full("hello"), Room::default());
        let mut one = replay.body(None).unwrap();
        assert_eq!(one.size_hint().exact(), Some(5));
        next(&mut one).await.unwrap();
        assert!(one.is_end_stream());
        let two = replay.body(None).unwrap();
        assert_eq!(
            (two.size_hint().exact(), two.is_end_stream()),
            (Some(5), false)
        );
    }

    #[tokio::test]
    async fn what_is_large_is_sent_once() {
        let (writer, body) = body_channel::channel();
        let room = Room::default();
        let replay = Replay::new(pass(body), room.clone());
        let mut one = replay.body(None).unwrap();
        for _ in 0..2 {
            writer.send(vec![0; KEPT].into()).await.unwrap();
            next(&mut one).await.unwrap();
        }
        assert!(replay.body(None).is_none());
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
        writer.finish().await.unwrap();
        one.collect().await.unwrap();
    }

    #[tokio::test]
    async fn where_there_is_no_room_it_is_sent_once() {
        let room = Room::default();
        assert!(room.take(KEPT_IN_ALL));
        let replay = Replay::new(full("hello"), room);
        let sent = replay.body(None).unwrap().collect().await.unwrap();
        assert_eq!(sent.to_bytes(), "hello");
        assert!(replay.body(None).is_none());
    }
}
