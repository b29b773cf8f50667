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

#[cfg(test)]
mod tests {
    use h2::Reason;
    use http_body_util::BodyExt;

    use super::*;
    use crate::h2_pair::{head, stream};

    #[tokio::test(flavor = "local")]
    async fn a_reset_is_no_end_whatever_its_reason() {
        for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
            let (caller, mut called) = stream().await;
            let mut answer = called.respond.send_response(head(HeaderMap::new()), false);
            let answer = answer.as_mut().unwrap();
            answer.send_data(Bytes::from_static(b"x"), false).unwrap();
            let (parts, body) = caller.answer.await.unwrap().into_parts();
            let mut body = H2Received::new(body, &parts.headers);
            let first = body.frame().await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), "x");
            answer.send_reset(reason);
            let error = body.frame().await.unwrap().unwrap_err();
            assert_eq!(error.reason(), Some(reason));
        }
    }

    #[tokio::test(flavor = "local")]
    async fn its_length_is_what_is_left() {
        let (caller, mut called) = stream().await;
        let length = [(CONTENT_LENGTH, HeaderValue::from_static("3"))];
        let head = head(HeaderMap::from_iter(length));
        let mut answer = called.respond.send_response(head, false).unwrap();
        let (parts, body) = caller.answer.await.unwrap().into_parts();
        let mut body = H2Received::new(body, &parts.headers);
        for (data, left) in [("a", 2), ("bc", 0)] {
            answer.send_data(data.into(), data == "bc").unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), data);
            assert_eq!(body.size_hint().exact(), Some(left));
        }
        assert!(body.is_end_stream());
    }
}
