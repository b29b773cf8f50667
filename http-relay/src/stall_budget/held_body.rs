//! A body that tells whether it is blocked, and can be cut while it is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::held::Held;
use super::stream::Stream;
use super::{Link, Listing, lock};
use crate::{RelayBody, RelayError};

pub(super) struct HeldBody<G> {
    stream: Arc<Stream>,
    link: Arc<Link>,
    _listing: Listing,
    /// Outlives what is held, which a cut takes away.
    _guard: G,
}

// Nothing in it is pinned.
impl<G> Unpin for HeldBody<G> {}

impl<G: Send + 'static> HeldBody<G> {
    pub(super) fn boxed(link: Arc<Link>, stream: Arc<Stream>, guard: G) -> RelayBody {
        Self {
            _listing: Listing::new(&link, stream.clone()),
            stream,
            link,
            _guard: guard,
        }
        .boxed_unsync()
    }
}

impl<G> Drop for HeldBody<G> {
    fn drop(&mut self) {
        self.link.turns.set(&self.stream, false);
        // Whoever has a handle does not keep the body.
        self.stream.drop_body();
    }
}

impl<G> Body for HeldBody<G> {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = &mut *self;
        let stream = &this.stream;
        stream.consumed_here();
        let mut locked = lock(&stream.held);
        // Those that it was handed have yet to go.
        if locked.is_some() && !stream.small_out.has_room(cx) {
            return Poll::Pending;
        }
        stream.asked();
        this.link.turns.set(stream, false);
        let Some(held) = locked.as_mut() else {
            return Poll::Ready(Some(Err(RelayError::Ended(stream.reason()))));
        };
        if let Poll::Ready(reason) = held.poll_end(cx) {
            drop(locked);
            stream.cut(reason);
            return Poll::Ready(Some(Err(RelayError::Ended(reason))));
        }
        let mut frame = ready!(stream.poll(held, cx, &this.link.gauge));
        if !stream.inbound {
            frame = held.keep_behind(frame, this.link.turns.frame());
        }
        let frame = frame.map(|frame| Ok(frame?.map_data(|data| stream.small_out.count(data))));
        // After its last frame a body is not asked again.
        let goes_on = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if goes_on && !held.is_end_stream() {
            stream.handed();
            this.link.turns.set(stream, !stream.inbound);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.stream.held)
            .as_ref()
            .is_some_and(Held::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.stream.held)
            .as_ref()
            .map_or_else(SizeHint::default, Held::size_hint)
    }
}
