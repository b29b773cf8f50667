//! Content-Length and Transfer-Encoding: parsed by hyper, checked here, then
//! deleted from requests so that the next hop's are made from the body itself.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Body;
use thiserror::Error;

/// A message whose end could be read in two ways.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FramingError {
    /// One party would believe the one, the next the other.
    #[error("Content-Length and Transfer-Encoding together")]
    LengthAndEncoding,
    /// Two lengths, or one that is no number.
    #[error("Content-Length is repeated or malformed")]
    Length,
    /// Only `chunked` is a framing.
    #[error("Transfer-Encoding other than chunked")]
    Encoding,
}

/// Checks a message's framing headers.
///
/// # Errors
/// [`FramingError`] for whatever could be read in two ways.
pub fn check(headers: &HeaderMap) -> Result<(), FramingError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let encoding = encodings.next();
    if length.is_some() && encoding.is_some() {
        return Err(FramingError::LengthAndEncoding);
    }
    if lengths.next().is_some() || length.is_some_and(|value| !is_length(value)) {
        return Err(FramingError::Length);
    }
    if encodings.next().is_some()
        || encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(FramingError::Encoding);
    }
    Ok(())
}

fn is_length(value: &HeaderValue) -> bool {
    let digits = value.as_bytes();
    (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// Checks a request's framing and deletes it; the next hop's is made from the
/// body.
///
/// # Errors
/// As [`check`].
pub fn take(headers: &mut HeaderMap) -> Result<(), FramingError> {
    check(headers)?;
    crate::headers::retain(headers, |name| {
        name != CONTENT_LENGTH && name != TRANSFER_ENCODING
    });
    Ok(())
}

/// Says that a body of unknown length follows: without it hyper's client sends a
/// GET or HEAD without its body, and tells nobody. Of methods that have a body says
/// that none follows, as Go does: some servers answer 411 without it.
pub fn announce<B: Body>(request: &mut Request<B>) {
    if request.headers().contains_key(CONTENT_LENGTH) {
        return;
    }
    let body = request.body();
    let has_one = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    let said = match (body.is_end_stream(), body.size_hint().exact()) {
        (true, _) if has_one => (CONTENT_LENGTH, "0"),
        (false, None) => (TRANSFER_ENCODING, "chunked"),
        _ => return,
    };
    let (name, value) = said;
    request
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

/// Says over HTTP/2, where no length is needed, how long a body is whose length is known,
/// and that there is none where the method has one.
pub fn tell_length<B: Body>(headers: &mut HeaderMap, method: &Method, body: &B) {
    let Some(length) = body.size_hint().exact() else {
        return;
    };
    let has_none = matches!(*method, Method::GET | Method::HEAD | Method::DELETE);
    if (length > 0 || !has_none) && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{empty, full};
    use crate::body_channel;
    use http::HeaderName;

    fn checked(lines: &[(&'static str, &'static str)]) -> Result<(), FramingError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        check(&headers)
    }

    #[test]
    fn whatever_has_two_readings_is_refused() {
        assert_eq!(checked(&[("content-length", "3")]), Ok(()));
        assert_eq!(checked(&[("transfer-encoding", "Chunked")]), Ok(()));
        assert_eq!(
            checked(&[("content-length", "3"), ("transfer-encoding", "chunked")]),
            Err(FramingError::LengthAndEncoding)
        );
        for lengths in [["3", "3"], ["3", "4"]] {
            assert_eq!(
                checked(&lengths.map(|n| ("content-length", n))),
                Err(FramingError::Length)
            );
        }
        for length in ["", "+3", "-1", "0x3", "3, 3", "99999999999999999999"] {
            assert_eq!(
                checked(&[("content-length", length)]),
                Err(FramingError::Length),
                "{length}"
            );
        }
        for encoding in ["gzip, chunked", "identity", "chunked, chunked", "xchunked"] {
            assert_eq!(
                checked(&[("transfer-encoding", encoding)]),
                Err(FramingError::Encoding),
                "{encoding}"
            );
        }
    }

    #[test]
    fn only_a_body_of_unknown_length_is_announced() {
        let (_writer, unknown) = body_channel::channel();
        let mut request = Request::new(crate::body::pass(unknown));
        announce(&mut request);
        assert_eq!(request.headers()[TRANSFER_ENCODING], "chunked");
        for body in [empty(), full("abc")] {
            let mut request = Request::new(body);
            announce(&mut request);
            assert!(request.headers().is_empty());
        }
    }
}
