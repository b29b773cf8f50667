//! What log lines say of a request.

use http::{HeaderValue, Method, Request, Uri};
use tracing::{Level, Span};
use tunnel_protocol::header::REQUEST_ID;

use crate::mask;

/// A request's names, kept for the lines that few requests have: making the span for each
/// would cost more than most of what is done for it.
#[derive(Clone, Debug)]
pub struct Named {
    id: Option<HeaderValue>,
    method: Method,
    uri: Uri,
}

impl Named {
    /// Copies nothing but references.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            id: request.headers().get(REQUEST_ID).cloned(),
            method: request.method().clone(),
            uri: request.uri().clone(),
        }
    }

    /// For lines of any level.
    #[must_use]
    pub fn span(&self) -> Span {
        // Not within another one of the same request's.
        tracing::info_span!(
            parent: None,
            "request",
            request_id = mask::id(self.id.as_ref()),
            method = %self.method,
            path = mask::path(self.uri.path())
        )
    }

    /// For lines that only somebody who looks closely gets: nothing unless that is so.
    #[must_use]
    pub fn debug_span(&self) -> Span {
        match tracing::enabled!(Level::DEBUG) {
            true => self.span(),
            false => Span::none(),
        }
    }
}
