//! Bytes as HTTP's parts, in a form that people can read in a corpus.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The first line and what follows it.
pub(crate) fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Lines of `name: value`; what is no header is left out.
pub(crate) fn header_lines(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let value = line[colon + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(&line[..colon]),
            HeaderValue::from_bytes(value),
        ) {
            headers.append(name, value);
        }
    }
    headers
}

/// Each line in the order in which a peer would get them.
pub(crate) fn flat(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let lines = headers.iter();
    lines
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
