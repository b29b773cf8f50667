//! Streaming bodies. A body that was cut ends in an error on every hop.
//!
//! hyper hands the HTTP/2 reason of a forwarded body error on to the next hop,
//! and reads `NO_ERROR` and `CANCEL` as a clean end. So [`RelayError`] keeps
//! only the text of its cause: with no `h2::Error` in its chain the next hop
//! resets with `INTERNAL_ERROR`, which every reader takes for what it is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use thiserror::Error;

/// A body on its way through one of our processes.
pub type RelayBody = UnsyncBoxBody<Bytes, RelayError>;

/// Why a body ended before its end.
#[derive(Clone, Debug, Error)]
pub enum RelayError {
    /// The side it came from failed.
    #[error("the body was cut: {0}")]
    Cut(String),
    /// Fewer bytes than its length announced.
    #[error("the body ended {0} bytes before its announced length")]
    Short(u64),
    /// We ended it, and why.
    #[error("ended: {0}")]
    Ended(&'static str),
}

impl RelayError {
    /// Keeps the text of an error and of its causes, and drops the error.
    pub fn cut(error: &(dyn std::error::Error + 'static)) -> Self {
        // One that came through another of our bodies says it already.
        error
            .downcast_ref()
            .cloned()
            .unwrap_or_else(|| Self::Cut(error_chain(error)))
    }
}

/// As much of an error as is told, characters.
const LONGEST_ERROR: usize = 1000;

/// An error and its causes as one line.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    // HTTP/2's may hold what the other side said, which may be long.
    if let Some((end, _)) = text.char_indices().nth(LONGEST_ERROR) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Counts what went through a body; shared with whoever reports or times it.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicU64,
    finished: AtomicBool,
    broken: AtomicBool,
}

impl Meter {
    /// Bytes of data so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the body came to its proper end.
    pub fn finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Whether the side it came from failed.
    pub fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Adds bytes that did not go through a [`relay`]ed body.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes the proper end of what did not go through a [`relay`]ed body.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}

pin_project_lite::pin_project! {
    struct Relayed<B, E, G> {
        #[pin]
        inner: B,
        #[pin]
        end: E,
        meter: Arc<Meter>,
        expected: Option<u64>,
        // Held until the body is dropped: permits, gauges, records.
        guard: G,
    }
}

impl<B, E, G> Body for Relayed<B, E, G>
where
    B: Body<Data = Bytes>,
    B::Error: std::error::Error + 'static,
    E: Future<Output = &'static str>,
{
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = self.project();
        if let Poll::Ready(reason) = this.end.poll(cx) {
            return Poll::Ready(Some(Err(RelayError::Ended(reason))));
        }
        let frame = ready!(this.inner.poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.meter.add(data.remaining() as u64);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                this.meter.broken.store(true, Ordering::Relaxed);
                Some(Err(RelayError::cut(&error)))
            }
            None => match this
                .expected
                .and_then(|length| length.checked_sub(this.meter.bytes()))
            {
                Some(missing) if missing > 0 => Some(Err(RelayError::Short(missing))),
                _ => {
                    this.meter.finish();
                    None
                }
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.inner.is_end_stream();
        if ended {
            // hyper does not poll a body that says so beforehand.
            self.meter.finish();
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Streams `inner` on: errors lose their HTTP/2 reason, a shortfall against the
/// announced length is an error, and when `end` resolves the body fails with its
/// reason. `guard` lives as long as the body.
pub fn relay<B, E, G>(inner: B, end: E, meter: Arc<Meter>, guard: G) -> RelayBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + 'static,
    E: Future<Output = &'static str> + Send + 'static,
    G: Send + 'static,
{
    let expected = if inner.is_end_stream() {
        None
    } else {
        inner.size_hint().exact()
    };
    Relayed {
        inner,
        end,
        meter,
        expected,
        guard,
    }
    .boxed_unsync()
}

/// [`relay`] for a hop that neither counts nor ends bodies by itself.
pub fn pass<B>(inner: B) -> RelayBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + 'static,
{
    relay(inner, std::future::pending(), Arc::default(), ())
}

/// A body of bytes that are at hand.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> RelayBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// No body.
#[must_use]
pub fn empty() -> RelayBody {
    full(Bytes::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body_channel;

    #[tokio::test]
    async fn a_body_ended_by_us_is_an_error() {
        let (_writer, body) = body_channel::channel();
        let body = relay(body, std::future::ready("revoked"), Arc::default(), ());
        assert!(matches!(
            body.collect().await,
            Err(RelayError::Ended("revoked"))
        ));
    }

    #[tokio::test]
    async fn no_cause_is_left_for_the_next_hop_to_copy_a_reason_from() {
        let inner = RelayError::cut(&std::io::Error::other("reset by peer"));
        assert!(std::error::Error::source(&inner).is_none());
        assert!(inner.to_string().contains("reset by peer"));
    }

    #[tokio::test]
    async fn a_short_body_is_an_error_and_the_guard_lives_as_long() {
        struct Short(bool);
        impl Body for Short {
            type Data = Bytes;
            type Error = std::io::Error;
            fn poll_frame(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
                let sent = std::mem::replace(&mut self.0, true);
                Poll::Ready((!sent).then(|| Ok(Frame::data(Bytes::from_static(b"abc")))))
            }
            fn size_hint(&self) -> SizeHint {
                SizeHint::with_exact(if self.0 { 7 } else { 10 })
            }
        }
        let guard = Arc::new(());
        let meter = Arc::new(Meter::default());
        let body = relay(
            Short(false),
            std::future::pending(),
            meter.clone(),
            guard.clone(),
        );
        assert_eq!(Arc::strong_count(&guard), 2);
        assert!(matches!(body.collect().await, Err(RelayError::Short(7))));
        assert_eq!(
            (meter.bytes(), meter.finished(), Arc::strong_count(&guard)),
            (3, false, 1)
        );
    }
}
