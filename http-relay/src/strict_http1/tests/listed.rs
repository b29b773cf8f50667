use super::server::serve;
use super::verdict;
use crate::strict_http1::Fault;

/// Each with what stands before it, of a request that is good otherwise.
const HEADS: &[(&str, Fault)] = &[
    ("GET / HTTP/1.1\nHost: a\r\n\r\n", Fault::BareLineFeed),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", Fault::BareLineFeed),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", Fault::BareLineFeed),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::BareLineFeed),
    ("GET / HTTP/1.1\rHost: a\r\n\r\n", Fault::BareCarriageReturn),
    (
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        Fault::BareCarriageReturn,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n",
        Fault::BareCarriageReturn,
    ),
    (
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Fault::RequestLine,
    ),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Version),
    ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Version),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", Fault::Version),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Fault::Version),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Fault::Version),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::Version),
    ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Fault::Folded),
    ("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", Fault::Folded),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Fault::Folded),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Fault::Name),
    ("GET / HTTP/1.1\r\nHost\r\n\r\n", Fault::Name),
    ("GET / HTTP/1.1\r\n: a\r\n\r\n", Fault::Name),
    ("GET / HTTP/1.1\r\nX\0Y: a\r\n\r\n", Fault::Name),
    ("GET / HTTP/1.1\r\n\u{e4}: a\r\n\r\n", Fault::Name),
    ("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", Fault::Value),
    ("GET / HTTP/1.1\r\nX: a\u{7f}b\r\n\r\n", Fault::Value),
    ("GET / HTTP/1.1\r\nX: \u{b}b\r\n\r\n", Fault::Value),
    ("GET / HTTP/1.1\r\nHost: \u{e4}\r\n\r\n", Fault::Value),
    ("GET / HTTP/1.1\r\nConnection: \u{e4}\r\n\r\n", Fault::Value),
    ("GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n", Fault::Hosts),
    (
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\nab",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 1 1\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\na",
        Fault::Length,
    ),
    ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\na", Fault::Length),
    (
        "POST / HTTP/1.1\r\nContent-Length: \"1\"\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\na",
        Fault::Length,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunk\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        Fault::Value,
    ),
    (
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::EncodingInHttp10,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::LengthAndEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        Fault::LengthAndEncoding,
    ),
    (
        "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
        Fault::UpgradeWithBody,
    ),
    (
        "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: x, upgrade\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::UpgradeWithBody,
    ),
];

/// What stands in place of the body of a chunked request.
const CHUNKS: &[(&str, Fault)] = &[
    ("1\nA\r\n0\r\n\r\n", Fault::BareLineFeed),
    ("1;x\nA\r\n0\r\n\r\n", Fault::BareLineFeed),
    ("1\r\nA\n0\r\n\r\n", Fault::ChunkEnd),
    ("1\rA", Fault::BareCarriageReturn),
    ("1\r\nA\rB", Fault::BareCarriageReturn),
    ("1\r\nAB\r\n0\r\n\r\n", Fault::ChunkEnd),
    ("\r\n0\r\n\r\n", Fault::ChunkSize),
    ("+1\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("-1\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("0x1\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("1_0\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    (" 1\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("1 \r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("1 ;x\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("g\r\n", Fault::ChunkSize),
    ("20000000000001\r\n", Fault::ChunkSize),
    ("ffffffffffffffff\r\n", Fault::ChunkSize),
    ("00000000000000001\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("10000000000000001\r\nA\r\n0\r\n\r\n", Fault::ChunkSize),
    ("1;a=\0\r\nA\r\n0\r\n\r\n", Fault::ChunkExtension),
    ("1;\u{e4}\r\nA\r\n0\r\n\r\n", Fault::ChunkExtension),
    ("0\r\n\n", Fault::BareLineFeed),
    ("0\r\nX: y\n\r\n", Fault::BareLineFeed),
    ("0\r\nX : y\r\n\r\n", Fault::Name),
    ("0\r\n X: y\r\n\r\n", Fault::Folded),
    ("0\r\nX: \0\r\n\r\n", Fault::Value),
    ("0\r\nContent-Length: 4\r\n\r\n", Fault::Trailer),
    ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Trailer),
    ("0\r\nhost: b\r\n\r\n", Fault::Trailer),
];

const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t a \t\r\nZ: \u{e4}\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003 \r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING: Chunked \r\n\r\n3;x=\"a b\"\r\nabc\r\n00A;\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\na",
];

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_head_with_two_readings_is_a_400_and_nothing_behind_it_is_a_request() {
    for (head, fault) in HEADS {
        let refused = verdict(head.as_bytes(), &[]).unwrap_err();
        assert_eq!((refused.fault, refused.in_head), (*fault, true), "{head:?}");
        let sent = format!("{NEXT}{head}{NEXT}");
        for cuts in [vec![], (0..sent.len()).collect()] {
            let served = serve(sent.as_bytes(), &cuts).await;
            assert_eq!(served.codes(), ["200", "400"], "{head:?}: {served:?}");
            assert_eq!(
                (served.requests.len(), served.cut.len()),
                (1, 0),
                "{head:?}"
            );
            assert_eq!(served.fault, Some(*fault), "{head:?}");
        }
    }
}

#[tokio::test]
async fn a_body_with_two_readings_is_cut_and_nothing_behind_it_is_a_request() {
    for (chunks, fault) in CHUNKS {
        let head = "POST /cut HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sent = format!("{NEXT}{head}{chunks}{NEXT}");
        for cuts in [vec![], (0..sent.len()).collect()] {
            let served = serve(sent.as_bytes(), &cuts).await;
            assert_eq!(served.fault, Some(*fault), "{chunks:?}");
            assert_eq!(served.requests.len(), 1, "{chunks:?}: {served:?}");
            assert_eq!(served.cut, ["/cut"], "{chunks:?}");
        }
    }
}

#[tokio::test]
async fn what_is_plain_passes_and_so_does_the_next() {
    for request in GOOD {
        let sent = format!("{request}{NEXT}");
        let served = serve(sent.as_bytes(), &[]).await;
        assert_eq!(served.fault, None, "{request:?}");
        let closes = ["HTTP/1.0", "Connection: upgrade"];
        let expected = if closes.iter().any(|mark| request.contains(mark)) {
            1
        } else {
            2
        };
        assert_eq!(served.requests.len(), expected, "{request:?}: {served:?}");
    }
}

#[test]
fn extensions_and_sizes_have_bounds() {
    let body =
        |line: &str| format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{line}\r\n");
    let fits = body(&format!("1;{}", "x".repeat(256)));
    assert_eq!(verdict(fits.as_bytes(), &[]), Ok(()));
    let long = body(&format!("1;{}", "x".repeat(257)));
    let refused = verdict(long.as_bytes(), &[]).unwrap_err();
    assert_eq!(refused.fault, Fault::ChunkExtension);
    assert_eq!(verdict(body("20000000000000").as_bytes(), &[]), Ok(()));
}

#[test]
fn behind_an_upgrade_nothing_is_looked_at() {
    let head = "GET / HTTP/1.1\r\nConnection: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    for length in ["", "Content-Length: 0\r\n"] {
        let sent = format!("{head}{length}\r\n\0\n\n\r anything");
        assert_eq!(verdict(sent.as_bytes(), &[]), Ok(()));
    }
    let old = format!("{}\r\n\0", head.replace("1.1", "1.0"));
    assert!(verdict(old.as_bytes(), &[]).is_err());
}
