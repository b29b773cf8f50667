use std::task::Waker;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Bytes, so many at a time, and then the end.
struct Pieces<'a>(&'a [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.0.len().min(self.1).min(buf.remaining());
        let (now, later) = self.0.split_at(length);
        buf.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

/// What hyper gets, if it reads into this much room.
fn passed(bytes: &[u8], piece: usize, room: usize) -> Vec<u8> {
    let mut connection = RawTargets::new(Pieces(bytes, piece));
    let mut context = Context::from_waker(Waker::noop());
    let mut passed = Vec::new();
    loop {
        let mut space = vec![0; room];
        let mut buffer = ReadBuf::new(&mut space);
        let read = Pin::new(&mut connection).poll_read(&mut context, &mut buffer);
        assert!(matches!(read, Poll::Ready(Ok(()))));
        if buffer.filled().is_empty() {
            assert!(connection.ready.is_empty());
            return passed;
        }
        passed.extend_from_slice(buffer.filled());
    }
}

fn check(sent: &[u8], expected: &[u8]) {
    for (piece, room) in [(usize::MAX, 1000), (1, 1), (1, 1000), (7, 5)] {
        let passed = passed(sent, piece, room);
        let told = (String::from_utf8_lossy(&passed), piece, room);
        assert!(passed == expected, "{told:?}");
    }
}

#[test]
fn only_targets_are_escaped() {
    for (sent, escaped) in [
        ("GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n"),
        (
            "GET /<a>`\"#?b=\"`<>?#d HTTP/1.1\r\nX: <\"#\u{e9}\r\n\r\n",
            "GET /%3Ca%3E%60\"%23?b=%22`%3C%3E?%23d HTTP/1.1\r\nX: <\"#\u{e9}\r\n\r\n",
        ),
        (
            "GET /\u{e9} HTTP/1.0\r\n\r\n",
            "GET /%C3%A9 HTTP/1.0\r\n\r\n",
        ),
        (
            "POST /# HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /# HTTP/1.1\r\n\r\nGET /# HTTP/1.1\r\n\r\n",
            "POST /%23 HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /# HTTP/1.1\r\n\r\nGET /%23 HTTP/1.1\r\n\r\n",
        ),
        ("\"GET /# HTTP/1.1\r\n\r\n", "\"GET /# HTTP/1.1\r\n\r\n"),
    ] {
        check(sent.as_bytes(), escaped.as_bytes());
    }
}

#[test]
fn where_it_is_not_sure_the_rest_passes_as_it_came() {
    for before in [
        "GET /a HTTP/1.1\nHost: a\n\n",
        "GET /a HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /a\x01b HTTP/1.1\r\n\r\n",
    ] {
        let sent = format!("{before}GET /# HTTP/1.1\r\n\r\n");
        check(sent.as_bytes(), sent.as_bytes());
    }
}

/// Which of them is only said by their framing.
const LOOKS_LIKE_A_REQUEST: &[u8] = b"\r\n\r\nGET /<#\"> HTTP/1.1\r\n\r\n";

fn request() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let target = vec(select(b"/a?%=&\"#<>`\xe9\xff".as_slice()), 0..12);
    (target, 0..4_u8, vec(any::<u8>(), 0..30)).prop_map(|(target, framing, noise)| {
        let body = [&noise, LOOKS_LIKE_A_REQUEST, &noise].concat();
        let behind = match framing {
            0 => b" HTTP/1.1\r\nHost: \"a\r\n\r\n".to_vec(),
            1 => {
                let head = format!(" HTTP/1.1\r\ncontent-Length:\t{}\r\n\r\n", body.len());
                [head.as_bytes(), &body].concat()
            }
            _ => {
                let head = " HTTP/1.1\r\nTransfer-encoding: Chunked\r\n\r\n";
                let size = format!("{:x};ext\r\n", body.len());
                let end = b"\r\n0\r\nX-Trailer: <\r\n\r\n";
                [head.as_bytes(), size.as_bytes(), &body, end].concat()
            }
        };
        let (mut escaped, mut query) = (Vec::new(), false);
        for byte in &target {
            query |= *byte == b'?';
            let raw: &[u8] = if query { b"#<>\"" } else { b"#<>`" };
            match *byte {
                byte if raw.contains(&byte) || byte > 127 => {
                    escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
                }
                plain => escaped.push(plain),
            }
        }
        let whole = |target: &[u8]| [b"POST /", target, &behind].concat();
        (whole(&target), whole(&escaped))
    })
}

proptest! {
    #[test]
    fn bodies_stay_as_they_are(requests in vec(request(), 1..4), piece in 1..50_usize) {
        let sent: Vec<u8> = requests.iter().flat_map(|(sent, _)| sent.clone()).collect();
        let expected: Vec<u8> = requests.iter().flat_map(|(_, escaped)| escaped.clone()).collect();
        prop_assert_eq!(passed(&sent, piece, 64), expected);
    }
}
