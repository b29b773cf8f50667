//! A caller's HTTP/1.1 connection, as its bytes come. What is let through is read
//! here once more, by another parser, to the same requests.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use http_relay::strict_http1::{Fault, StrictHttp1};
use httparse::Status;
use tokio::io::{AsyncRead, ReadBuf};

/// Lines of a head; hyper takes as many.
const LINES: usize = 1000;

/// However the bytes come in pieces, the same of them passes; and it reads in one
/// way.
pub fn run(bytes: &[u8]) {
    let (passed, fault) = passed(bytes, usize::MAX);
    for piece in [1, 7] {
        assert_eq!(self::passed(bytes, piece), (passed.clone(), fault));
    }
    assert!(bytes.starts_with(&passed));
    assert!(fault.is_some() || passed == bytes);
    let mut rest = &passed[..];
    while let Some(length) = request(rest) {
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// What hyper gets of the connection, without what stands for a bad head's rest.
fn passed(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<Fault>) {
    let told = Arc::new(Mutex::new(None));
    let tell = told.clone();
    let tell = move |fault| *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    let mut connection = StrictHttp1::new(Pieces(bytes, piece), tell);
    let mut context = Context::from_waker(Waker::noop());
    let mut passed = Vec::new();
    let broken = loop {
        let mut space = [0; 1000];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut connection).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => break false,
            Poll::Ready(Ok(())) => passed.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(_)) => break true,
            Poll::Pending => unreachable!("it waits for nothing"),
        }
    };
    let fault = *told.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(fault.is_some() || !broken);
    if fault.is_some() && !broken {
        assert!(passed.ends_with(b"\0\r\n\r\n"), "a bad head looks good");
        passed.truncate(passed.len() - 5);
    }
    (passed, fault)
}

/// Bytes, at most so many at a time, and then the end.
struct Pieces<'a>(&'a [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let length = self.0.len().min(self.1).min(buf.remaining());
        let (now, later) = self.0.split_at(length);
        buf.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

/// The length of the first request, if it is whole and another may follow.
fn request(bytes: &[u8]) -> Option<usize> {
    let mut lines = vec![httparse::EMPTY_HEADER; LINES];
    let mut head = httparse::Request::new(&mut lines);
    let start = match head.parse(bytes) {
        Ok(Status::Complete(start)) => start,
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return None,
        Err(error) => {
            unreachable!("what passes is no request: {error}")
        }
    };
    let values = |name: &str| {
        let of_name = head
            .headers
            .iter()
            .filter(|line| line.name.eq_ignore_ascii_case(name));
        of_name.map(|line| line.value).collect::<Vec<_>>()
    };
    let (lengths, encodings) = (values("content-length"), values("transfer-encoding"));
    assert!(lengths.len() + encodings.len() <= 1, "framed twice");
    assert!(values("host").len() <= 1, "two hosts");
    let body = bytes.get(start..).unwrap_or_default();
    if let Some(encoding) = encodings.first() {
        assert!(encoding.eq_ignore_ascii_case(b"chunked") && head.version == Some(1));
        return Some(start + chunked(body)?);
    }
    let length = lengths.first().map_or(Some(0), |length| {
        assert!(!length.is_empty() && length.iter().all(u8::is_ascii_digit));
        std::str::from_utf8(length).ok()?.parse().ok()
    });
    let upgrade = head.version == Some(1)
        && !values("upgrade").is_empty()
        && values("connection").iter().any(|line| {
            let tokens = line.split(|byte| *byte == b',');
            tokens
                .map(<[u8]>::trim_ascii)
                .any(|token| token.eq_ignore_ascii_case(b"upgrade"))
        });
    assert!(!upgrade || length == Some(0), "an upgrade with a body");
    let end = usize::try_from(length?).ok()?.checked_add(start)?;
    (!upgrade && end <= bytes.len()).then_some(end)
}

/// The length of a whole chunked body.
fn chunked(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let (start, size) = match httparse::parse_chunk_size(rest) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) => return None,
            Err(error) => {
                unreachable!("what passes is no chunk: {error}")
            }
        };
        at += start;
        if size == 0 {
            return trailers(bytes.get(at..)?).map(|length| at + length);
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        let end = bytes.get(at..at.checked_add(2)?)?;
        assert_eq!(end, b"\r\n", "a chunk of another size");
        at += 2;
    }
}

fn trailers(bytes: &[u8]) -> Option<usize> {
    let mut lines = vec![httparse::EMPTY_HEADER; LINES];
    match httparse::parse_headers(bytes, &mut lines) {
        Ok(Status::Complete((length, _))) => Some(length),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => None,
        Err(error) => {
            unreachable!("what passes are no trailers: {error}")
        }
    }
}
