//! HTTP/1.1 messages as they stand in the bytes of a connection: headers in
//! their order and case, which no client library keeps.

use anyhow::{Context, Result, bail, ensure};

/// Lines of a head; the API server's answers have some fifteen.
const LINES: usize = 200;

pub type Headers = Vec<(String, Vec<u8>)>;

/// A request, its body without its framing.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// The minor one: 1 of HTTP/1.1.
    pub version: u8,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
}

/// A response, its body without its framing.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
}

/// The first request in `bytes` and its length; `None` while it is not whole.
pub fn request(bytes: &[u8]) -> Result<Option<(Request, usize)>> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut head = httparse::Request::new(&mut lines);
    let httparse::Status::Complete(start) = head.parse(bytes)? else {
        return Ok(None);
    };
    let headers = owned(head.headers);
    let Some(body) = framed_body(&bytes[start..], &headers)? else {
        return Ok(None);
    };
    let request = Request {
        method: head.method.context("no method")?.to_owned(),
        target: head.path.context("no target")?.to_owned(),
        version: head.version.context("no version")?,
        headers,
        body: body.data,
        trailers: body.trailers,
    };
    Ok(Some((request, start + body.length)))
}

/// The first final response in `bytes` to a request with `method`, and its
/// length; `None` while it is not whole.
pub fn response(bytes: &[u8], method: &str) -> Result<Option<(Response, usize)>> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut head = httparse::Response::new(&mut lines);
    let httparse::Status::Complete(start) = head.parse(bytes)? else {
        return Ok(None);
    };
    let (status, headers) = (head.code.context("no status")?, owned(head.headers));
    if (100..200).contains(&status) {
        let rest = response(&bytes[start..], method)?;
        return Ok(rest.map(|(response, length)| (response, start + length)));
    }
    let body = if method == "HEAD" || matches!(status, 204 | 304) {
        Body::default()
    } else {
        ensure!(
            is_framed(&headers),
            "a body without a length ends only with its connection"
        );
        match framed_body(&bytes[start..], &headers)? {
            Some(body) => body,
            None => return Ok(None),
        }
    };
    let response = Response {
        status,
        headers,
        body: body.data,
        trailers: body.trailers,
    };
    Ok(Some((response, start + body.length)))
}

/// A header's values, by name in any case.
pub fn values<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = headers
        .iter()
        .filter(move |(one, _)| one.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_slice())
}

#[derive(Default)]
struct Body {
    data: Vec<u8>,
    trailers: Headers,
    /// With its framing.
    length: usize,
}

fn is_framed(headers: &Headers) -> bool {
    ["content-length", "transfer-encoding"]
        .iter()
        .any(|name| values(headers, name).next().is_some())
}

fn framed_body(bytes: &[u8], headers: &Headers) -> Result<Option<Body>> {
    if values(headers, "transfer-encoding").any(|value| value.eq_ignore_ascii_case(b"chunked")) {
        return chunked(bytes);
    }
    let length = match values(headers, "content-length").next() {
        Some(length) => std::str::from_utf8(length)?.parse()?,
        None => 0,
    };
    Ok(bytes.get(..length).map(|data| Body {
        data: data.to_vec(),
        trailers: Vec::new(),
        length,
    }))
}

fn chunked(bytes: &[u8]) -> Result<Option<Body>> {
    let mut body = Body::default();
    loop {
        let rest = &bytes[body.length..];
        let size = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((start, size))) => {
                body.length += start;
                usize::try_from(size)?
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => bail!("a chunk's size is malformed"),
        };
        if size == 0 {
            return trailers(bytes, body);
        }
        let Some(data) = bytes.get(body.length..body.length + size + 2) else {
            return Ok(None);
        };
        ensure!(data.ends_with(b"\r\n"), "a chunk is longer than its size");
        body.data.extend_from_slice(&data[..size]);
        body.length += size + 2;
    }
}

fn trailers(bytes: &[u8], mut body: Body) -> Result<Option<Body>> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    match httparse::parse_headers(&bytes[body.length..], &mut lines)? {
        httparse::Status::Complete((length, lines)) => {
            body.trailers = owned(lines);
            body.length += length;
            Ok(Some(body))
        }
        httparse::Status::Partial => Ok(None),
    }
}

fn owned(lines: &[httparse::Header<'_>]) -> Headers {
    lines
        .iter()
        .map(|line| (line.name.to_owned(), line.value.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_taken_and_the_rest_left() {
        let bytes =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nWarning: 1\r\nA: b\r\nwarning: 2\r\n\
            Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\nHTTP/1.1";
        let (one, length) = response(bytes, "GET").unwrap().unwrap();
        assert_eq!((one.status, one.body), (200, b"hello".to_vec()));
        assert_eq!(&bytes[length..], b"HTTP/1.1");
        assert_eq!(
            values(&one.headers, "Warning").collect::<Vec<_>>(),
            [b"1", b"2"]
        );
        assert_eq!(one.trailers, [("T".to_owned(), b"v".to_vec())]);
        for short in 0..length {
            assert!(
                response(&bytes[..short], "GET").unwrap().is_none(),
                "{short}"
            );
        }
    }

    #[test]
    fn a_head_has_a_length_and_no_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(response(bytes, "HEAD").unwrap().unwrap().1, bytes.len());
        assert!(response(bytes, "GET").unwrap().is_none());
    }

    #[test]
    fn requests() {
        let bytes = b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n";
        let (one, length) = request(bytes).unwrap().unwrap();
        assert_eq!((one.method.as_str(), one.body), ("POST", b"hi".to_vec()));
        let (two, _) = request(&bytes[length..]).unwrap().unwrap();
        assert_eq!((two.target.as_str(), two.body), ("/", Vec::new()));
    }
}
