//! Both sides' words in the handshake. A first line with the status, then header
//! lines.

use http::header::UPGRADE;
use http::{HeaderMap, StatusCode};
use tunnel_protocol::carrier::Carrier;
use tunnel_protocol::handshake::{Answer, Hello, mark_answer};

use crate::input::{first_line, header_lines};

/// An error is for a log: it repeats little of what a stranger sent.
const LONGEST_ERROR: usize = 300;

/// What is read writes back and reads the same.
pub fn run(bytes: &[u8]) {
    let (status, lines) = first_line(bytes);
    let headers = header_lines(lines);
    hello(&headers);
    if let Ok(status) = StatusCode::from_bytes(status) {
        for carrier in Carrier::ALL {
            answer(status, &headers, carrier);
        }
    }
}

fn hello(headers: &HeaderMap) {
    match Hello::read(headers) {
        Ok(hello) => {
            assert!((1..=64).contains(&hello.instance.len()));
            assert!(hello.client_version.len() <= 64);
            let mut written = HeaderMap::new();
            hello.write(&mut written);
            assert_eq!(Hello::read(&written), Ok(hello));
        }
        Err(error) => assert!(error.to_string().len() < LONGEST_ERROR),
    }
}

fn answer(status: StatusCode, headers: &HeaderMap, carrier: Carrier) {
    let read = Answer::read(status, headers, carrier);
    let mut written = HeaderMap::new();
    match read {
        Answer::Accepted => {
            assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS);
            let protocol = headers.get(UPGRADE).map(|value| value.as_bytes());
            let asked = carrier.protocol().as_bytes();
            assert!(protocol.is_some_and(|it| it.eq_ignore_ascii_case(asked)));
        }
        Answer::Refused(refusal) => {
            assert_eq!(status, refusal.status());
            mark_answer(&mut written, Some(refusal));
            assert_eq!(Answer::read(status, &written, carrier), read);
        }
        Answer::Stranger(seen) => assert_eq!(seen, status),
    }
}
