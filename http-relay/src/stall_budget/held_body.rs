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

pub(super) struct HeldBody {
    stream: Arc<Stream>,
    link: Arc<Link>,
    _listing: Option<Listing>,
    asked_before: bool,
}

impl HeldBody {
    /// hyper's client asks a request's body once before it gives it a task. If it was
    /// handed data then, and its peer took none of it, there would be no task to end.
    fn is_asked_ahead(&mut self, cx: &Context<'_>) -> bool {
        let in_task = self.stream.consumed_here();
        let again = std::mem::replace(&mut self.asked_before, true);
        let ahead = !(in_task || again || self.stream.inbound);
        if ahead {
            cx.waker().wake_by_ref();
        }
        ahead
    }

    pub(super) fn boxed(link: Arc<Link>, stream: Arc<Stream>) -> RelayBody {
        let has_data = !lock(&stream.held).as_ref().is_none_or(Held::is_end_stream);
        Self {
            _listing: has_data.then(|| Listing::new(&link, stream.clone())),
            stream,
            link,
            asked_before: false,
        }
        .boxed_unsync()
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.link.turns.set(&self.stream, false);
        // Whoever has a handle does not keep the body.
        self.stream.drop_body();
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        if self.is_asked_ahead(cx) {
            return Poll::Pending;
        }
        let this = &mut *self;
        let stream = &this.stream;
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
