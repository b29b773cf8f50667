//! A body that tells whether it is blocked, and can be cut while it is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::stream::Stream;
use super::{CUT, Link, Listing, lock};
use crate::{RelayBody, RelayError};

pub(super) struct HeldBody {
    stream: Arc<Stream>,
    link: Arc<Link>,
    /// From the first data on.
    listing: Option<Listing>,
}

impl HeldBody {
    pub(super) fn boxed(link: Arc<Link>, stream: Arc<Stream>) -> RelayBody {
        Self {
            stream,
            link,
            listing: None,
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let stream = self.stream.clone();
        let mut body = lock(&stream.body);
        stream.asked();
        stream.consumed_here();
        let Some(inner) = body.as_mut() else {
            return Poll::Ready(Some(Err(RelayError::Ended(CUT))));
        };
        let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
        // After its last frame a body is not asked again.
        let goes_on = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if goes_on && !inner.is_end_stream() {
            stream.handed();
            if self.listing.is_none() {
                self.listing = Some(Listing::new(&self.link, stream.clone()));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.stream.body)
            .as_ref()
            .is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.stream.body)
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}
