//! The end of a watch in a drain: clean and between two events, as if the API server
//! had ended it. Callers are used to that: they go on from the last event, elsewhere.

mod borders;
mod cbor_sequence;
mod json_lines;
mod lengths;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Uri, response};
use http_body::{Body, Frame, SizeHint};
use request_info::RequestInfo;
use tokio::time::sleep;

use borders::Borders;

/// How long a watch lives at least, from its answer's head on. client-go takes one that
/// ends within a second and without an event for a fault ("very short watch") and lists
/// all objects again, after a pause; any other it goes on with at once. With twice that,
/// a caller who knows no other way asks every two seconds until the drain's end.
const AT_LEAST: Duration = Duration::from_secs(2);

pin_project_lite::pin_project! {
    /// The body of a watch, which ends at the first border after `due`.
    pub struct WatchEnd<B, D> {
        #[pin]
        body: B,
        #[pin]
        due: D,
        is_due: bool,
        borders: Borders,
    }
}

/// Whether a request asks for a watch, as the API server reads it.
#[must_use]
pub fn is_asked_for(method: &Method, uri: &Uri) -> bool {
    // Few do, and none without the word, be it escaped.
    let may_ask = |text: &str| text.contains("watch") || text.contains('%');
    (may_ask(uri.path()) || uri.query().is_some_and(may_ask))
        && RequestInfo::read(method.as_str(), uri.path(), uri.query())
            .is_ok_and(|info| info.verb == "watch")
}

/// Ends a watch when it is `due`; see [`not_too_young`].
///
/// # Errors
/// The body itself where nobody could tell a border: it is no stream of events,
/// compressed, or of an unknown format.
pub fn cleanly<B, D>(answer: &response::Parts, body: B, due: D) -> Result<WatchEnd<B, D>, B>
where
    B: Body<Data = Bytes>,
    D: Future<Output = ()>,
{
    let is_stream = answer.status == StatusCode::OK && body.size_hint().exact().is_none();
    let Some(borders) = Borders::of(&answer.headers).filter(|_| is_stream) else {
        return Err(body);
    };
    Ok(WatchEnd {
        body,
        due,
        is_due: false,
        borders,
    })
}

/// Ready when a watch is to end whose answer's head comes now: as soon as the drain
/// begins, as a quiet one would hold it to its deadline and be cut there, but not before
/// it is two seconds old, unless all is `closing`.
pub async fn not_too_young(draining: impl Future<Output = ()>, closing: impl Future<Output = ()>) {
    let young = sleep(AT_LEAST);
    draining.await;
    tokio::select! {
        () = young => {}
        () = closing => {}
    }
}

impl<B, D> Body for WatchEnd<B, D>
where
    B: Body<Data = Bytes>,
    D: Future<Output = ()>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        *this.is_due = *this.is_due || this.due.poll(cx).is_ready();
        if *this.is_due && this.borders.at() {
            tracing::debug!("the watch ends for the drain");
            return Poll::Ready(None);
        }
        let frame = ready!(this.body.poll_frame(cx));
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame);
        };
        let frame = match frame.into_data() {
            Ok(mut data) => {
                if !*this.is_due {
                    this.borders.pass(&data);
                } else if let Some(border) = this.borders.next(&data) {
                    data.truncate(border);
                }
                Frame::data(data)
            }
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
