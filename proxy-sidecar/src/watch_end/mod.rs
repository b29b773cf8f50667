//! The end of a watch in a drain: clean and between two events, as if the API server
//! had ended it. Callers are used to that: they go on from the last event, elsewhere.
//!
//! All watches end as soon as the drain begins: a quiet one would hold it to its
//! deadline and be cut there. But none ends younger than [`AT_LEAST`].

mod borders;
mod cbor_sequence;
mod json_lines;
mod lengths;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{StatusCode, request, response};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use request_info::RequestInfo;
use tokio::time::sleep;

use crate::drain::Ending;
use borders::Borders;

/// How long a watch lives at least, from its answer's head on. client-go takes one that
/// ends within a second and without an event for a fault ("very short watch") and lists
/// all objects again, after a pause; any other it goes on with at once. With twice that,
/// a caller who knows no other way asks every two seconds until the drain's end.
const AT_LEAST: Duration = Duration::from_secs(2);

pin_project_lite::pin_project! {
    /// The body of a watch, which ends at the first border after `due`.
    pub(crate) struct WatchEnd<B, D> {
        #[pin]
        body: B,
        #[pin]
        due: D,
        is_due: bool,
        borders: Borders,
    }
}

/// Whether it asks for a watch, as the API server reads it.
pub(crate) fn is_asked_for(request: &request::Parts) -> bool {
    let (method, uri) = (request.method.as_str(), &request.uri);
    RequestInfo::read(method, uri.path(), uri.query()).is_ok_and(|info| info.verb == "watch")
}

/// Ends a watch when it is time. Gives the body back where nobody could tell a border:
/// it is no stream of events, compressed, or of an unknown format.
pub(crate) fn cleanly<B>(
    answer: &response::Parts,
    body: B,
    ending: &Ending,
) -> Result<WatchEnd<B, impl Future<Output = ()> + use<B>>, B>
where
    B: Body<Data = Bytes>,
{
    let is_stream = answer.status == StatusCode::OK && body.size_hint().exact().is_none();
    let Some(borders) = Borders::of(&answer.headers).filter(|_| is_stream) else {
        return Err(body);
    };
    Ok(WatchEnd {
        body,
        due: due(ending.clone()),
        is_due: false,
        borders,
    })
}

async fn due(ending: Ending) {
    let young = sleep(AT_LEAST);
    ending.draining.cancelled().await;
    tokio::select! {
        () = young => {}
        () = ending.closing.cancelled() => {}
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
