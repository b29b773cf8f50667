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
}

impl HeldBody {
    pub(super) fn boxed(link: Arc<Link>, stream: Arc<Stream>) -> RelayBody {
        let has_data = !lock(&stream.held).as_ref().is_none_or(Held::is_end_stream);
        Self {
            _listing: has_data.then(|| Listing::new(&link, stream.clone())),
            stream,
            link,
        }
        .boxed_unsync()
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        // Whoever has a handle does not keep the body.
        self.stream.drop_body();
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let stream = &self.stream;
        let mut locked = lock(&stream.held);
        stream.asked();
        stream.consumed_here();
        let Some(held) = locked.as_mut() else {
            return Poll::Ready(Some(Err(RelayError::Ended(stream.reason()))));
        };
        if let Poll::Ready(reason) = held.poll_end(cx) {
            drop(locked);
            stream.cut(reason);
            return Poll::Ready(Some(Err(RelayError::Ended(reason))));
        }
        let frame = ready!(stream.poll(held, cx, &self.link.gauge));
        // After its last frame a body is not asked again.
        let goes_on = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if goes_on && !held.is_end_stream() {
            stream.handed();
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
