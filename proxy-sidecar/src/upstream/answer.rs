//! The body of the API server's answer, which holds its connection until it ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_relay::RelayError;
use http_relay::inbound::Inbound;
use hyper::body::Incoming;

use super::http1::Lease;
use super::http2::Place;

/// What an answer comes over.
pub(super) enum Held {
    Http1(Lease),
    Http2 { _place: Place },
}

pin_project_lite::pin_project! {
    /// An answer's body.
    pub(crate) struct AnswerBody {
        #[pin]
        inner: Inbound<Incoming>,
        held: Option<Held>,
    }
}

/// Puts the connection behind the body.
pub(super) fn holding(response: Response<Incoming>, held: Option<Held>) -> Response<AnswerBody> {
    let version = response.version();
    response.map(|body| {
        let mut held = held;
        if body.is_end_stream() {
            free(&mut held);
        }
        AnswerBody {
            inner: Inbound::new(body, version),
            held,
        }
    })
}

fn free(held: &mut Option<Held>) {
    match held.take() {
        Some(Held::Http1(lease)) => lease.give_back(),
        Some(Held::Http2 { .. }) | None => {}
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Err(_)) => drop(this.held.take()),
            None => free(this.held),
            // Whoever sees that it has ended does not ask once more.
            Some(Ok(_)) if this.inner.is_end_stream() => free(this.held),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
