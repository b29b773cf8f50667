//! A body as h2 receives it. It is h2's own, as hyper takes a reset with `NO_ERROR` for
//! a clean end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

/// The receiving half of an HTTP/2 stream, from the first byte of its body on.
#[derive(Debug)]
pub struct H2Received {
    stream: RecvStream,
    /// Trailers come next, or the end.
    data_ended: bool,
    /// What is to come of what was announced, bytes; h2 sees to it that no other does.
    left: Option<u64>,
}

impl H2Received {
    /// The body that comes behind a head with these headers.
    #[must_use]
    pub fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH).map(HeaderValue::to_str);
        Self {
            stream,
            data_ended: false,
            left: length.and_then(|length| length.ok()?.parse().ok()),
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = ready!(self.stream.poll_data(cx)).transpose()?;
        if let Some(data) = &data {
            // Credit for as much again.
            self.stream.flow_control().release_capacity(data.len())?;
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(data.len() as u64);
            }
        }
        Poll::Ready(data.map(Ok))
    }
}

impl Body for H2Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            if let Some(data) = ready!(self.poll_data(cx)) {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            self.data_ended = true;
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(
            trailers
                .transpose()
                .map(|trailers| trailers.map(Frame::trailers)),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) if !self.is_end_stream() => SizeHint::with_exact(left),
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}
