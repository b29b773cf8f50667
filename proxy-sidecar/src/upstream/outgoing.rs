//! A request until it is answered: it may have to be sent again.

use http::{Request, request};
use http_relay::RelayBody;
use http_relay::body::empty;
use hyper::body::Body;

use super::http2::Place;
use super::replay::{Replay, Room};

/// Held until there is an answer: what is kept of the body goes with it.
pub(super) struct Outgoing(Form);

enum Form {
    /// As it came.
    Whole(Box<Request<RelayBody>>),
    /// Over HTTP/1.1, which gives back what it has not sent.
    Away,
    /// What can be sent more than once.
    Kept(Box<request::Parts>, Option<Replay>),
}

impl Outgoing {
    pub(super) fn new(request: Request<RelayBody>) -> Self {
        Self(Form::Whole(Box::new(request)))
    }

    /// The request, to be [put back](Self::put_back) if nothing of it was sent. Nothing
    /// if it cannot be sent any more.
    pub(super) fn take(&mut self) -> Option<Request<RelayBody>> {
        if let Form::Kept(head, replay) = &self.0 {
            return request(head, replay.as_ref(), None);
        }
        match std::mem::replace(&mut self.0, Form::Away) {
            Form::Whole(request) => Some(*request),
            Form::Away | Form::Kept(..) => None,
        }
    }

    pub(super) fn put_back(&mut self, request: Request<RelayBody>) {
        // What is kept is as good.
        if matches!(self.0, Form::Away) {
            *self = Self::new(request);
        }
    }

    /// The request as often as it has to be sent, as far as `room` lets its body be kept;
    /// nothing if it cannot be sent any more. The body holds `place` until it is sent.
    pub(super) fn copy(&mut self, room: &Room, place: &Place) -> Option<Request<RelayBody>> {
        self.0 = match std::mem::replace(&mut self.0, Form::Away) {
            Form::Whole(request) => {
                let (head, body) = request.into_parts();
                let replay = (!body.is_end_stream()).then(|| Replay::new(body, room.clone()));
                Form::Kept(Box::new(head), replay)
            }
            other => other,
        };
        match &self.0 {
            Form::Kept(head, replay) => request(head, replay.as_ref(), Some(place)),
            Form::Whole(_) | Form::Away => None,
        }
    }
}

fn request(
    head: &request::Parts,
    replay: Option<&Replay>,
    place: Option<&Place>,
) -> Option<Request<RelayBody>> {
    let body = match replay {
        Some(replay) => replay.body(place.cloned())?,
        None => empty(),
    };
    Some(Request::from_parts(head.clone(), body))
}
