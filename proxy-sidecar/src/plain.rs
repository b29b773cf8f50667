//! Answers that are kubectl proxy's own, in its words.

use http::header::{CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use http_relay::RelayBody;
use http_relay::body::{empty, full};

use crate::escape_html::escape_html;

/// Outside the prefixes, or no such file.
pub(crate) fn not_found() -> Response<RelayBody> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<RelayBody> {
    let mut answer = Response::new(full(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// As Go's server refuses what it cannot read: without `nosniff`, and a type only
/// where there is a text.
pub(crate) fn bare(status: StatusCode, said: &str) -> Response<RelayBody> {
    let mut answer = text(status, said);
    let headers = answer.headers_mut();
    headers.remove(X_CONTENT_TYPE_OPTIONS);
    if said.is_empty() {
        headers.remove(CONTENT_TYPE);
    }
    answer
}

/// To the same target, spelled as it should be.
pub(crate) fn redirect(method: &Method, to: &str) -> Response<RelayBody> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let mut answer = Response::new(match *method {
        Method::GET => full(format!(
            "<a href=\"{}\">Temporary Redirect</a>.\n\n",
            escape_html(to)
        )),
        _ => empty(),
    });
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if is_read {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, html);
    }
    if let Ok(to) = HeaderValue::try_from(to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}
