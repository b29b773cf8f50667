//! A body as it arrives, with an end that can be believed.
//!
//! hyper reads a reset with `NO_ERROR` as a clean end, and resets with it when a
//! ping is not answered. Over HTTP/2 only END_STREAM is an end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use crate::RelayError;

pin_project_lite::pin_project! {
    /// Wraps hyper's incoming body.
    pub struct Inbound<B> {
        #[pin]
        inner: B,
        needs_end_stream: bool,
        edit: fn(Frame<Bytes>) -> Frame<Bytes>,
    }
}

impl<B> Inbound<B> {
    /// The body of a message that came in this version of HTTP.
    pub fn new(inner: B, version: Version) -> Self {
        Self {
            inner,
            needs_end_stream: version == Version::HTTP_2,
            edit: |frame| frame,
        }
    }

    /// Edits each frame; lengths must stay.
    #[must_use]
    pub fn edit(mut self, edit: fn(Frame<Bytes>) -> Frame<Bytes>) -> Self {
        self.edit = edit;
        self
    }
}

impl<B> Body for Inbound<B>
where
    B: Body<Data = Bytes>,
    B::Error: std::error::Error + 'static,
{
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let mut this = self.project();
        Poll::Ready(match ready!(this.inner.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => Some(Ok((this.edit)(frame))),
            Some(Err(error)) => Some(Err(RelayError::cut(&error))),
            None if *this.needs_end_stream && !this.inner.is_end_stream() => Some(Err(
                RelayError::Cut("the stream was reset before its end".into()),
            )),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
