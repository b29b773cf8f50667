use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::reader::requests;
use super::server::serve;
use super::verdict;

const LINES: &[&str] = &[
    "Host: a",
    "Content-Length: 3",
    "Content-Length: 0",
    "content-length: 31",
    "Content-Length: 3, 3",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: CHUNKED ",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding : chunked",
    "Connection: keep-alive, Upgrade",
    "Connection: close",
    "Upgrade: websocket",
    "X: y",
    "X: \u{e4}",
    " folded",
    "Expect: 100-continue",
    "X: a\rb",
];
const ENDS: &[&str] = &[
    "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n",
];
const BODIES: &[&str] = &[
    "",
    "",
    "abc",
    "0\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "1f\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n0\r\nX: y\r\n\r\n",
    "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "3;x=y\r\nabc\r\n0\r\n\r\n",
    "3\nabc\r\n0\r\n\r\n",
    "+3\r\nabc\r\n0\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
];

fn line() -> impl Strategy<Value = String> {
    let end = select(ENDS);
    (select(LINES), end).prop_map(|(line, end)| format!("{line}{end}"))
}

fn request() -> impl Strategy<Value = String> {
    let head = (
        select(&["GET", "POST"][..]),
        "/[a-c]{1,3}",
        select(&["1.1", "1.1", "1.0"][..]),
    );
    (head, vec(line(), 0..4), select(ENDS), select(BODIES)).prop_map(
        |((method, target, version), lines, end, body)| {
            format!(
                "{method} {target} HTTP/{version}\r\n{}{end}{body}",
                lines.concat()
            )
        },
    )
}

fn connection() -> impl Strategy<Value = Vec<u8>> {
    let assembled = || vec(request(), 1..4).prop_map(|requests| requests.concat().into_bytes());
    // One byte changed, left out or doubled: what no list thinks of.
    let spoilt = (
        assembled(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        0..4usize,
    )
        .prop_map(|(mut bytes, at, byte, how)| {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
            bytes
        });
    prop_oneof![assembled(), spoilt]
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0..400usize, 0..12).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..300), cuts in cuts()) {
        prop_assert_eq!(verdict(&bytes, &cuts), verdict(&bytes, &[]));
    }

    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_come(bytes in connection(), cuts in cuts()) {
        prop_assert_eq!(verdict(&bytes, &cuts), verdict(&bytes, &[]));
    }

    /// Of what passes, the guard, hyper and a plain reader make the same requests.
    #[test]
    fn hyper_frames_what_passes_as_the_guard_did(bytes in connection(), cuts in cuts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let served = runtime.block_on(serve(&bytes, &cuts));
        let verdict = verdict(&bytes, &[]);
        let expected = requests(&bytes[..verdict.map_or_else(|refused| refused.good, |()| bytes.len())]);
        prop_assert!(expected.starts_with(&served.requests), "{:?} of {:?}", served, expected);
        // Where nothing ends the connection before, all of it was read.
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let no_uri = expected.iter().any(|one| one.target.parse::<http::Uri>().is_err());
        let closes = no_uri || ["/1.0", "connection"]
            .iter()
            .any(|mark| text.contains(mark));
        let fault = verdict.err().map(|refused| refused.fault);
        if !closes {
            prop_assert_eq!(&served.requests, &expected, "{:?}", served);
            prop_assert_eq!(served.fault, fault);
            let refused = served.codes().contains(&"400") || !served.cut.is_empty();
            prop_assert!(fault.is_none() || refused, "{:?}", served);
        }
        prop_assert!(served.fault.is_none() || served.fault == fault);
    }
}
