//! Requests that are none, or that could be read in two ways.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;

use crate::compare::Departure::{Accepted, Kept, Refused, Status, Unreadable};
use crate::compare::{Case, as_kubectl, case, compare, get, line};
use crate::proxies::{Proxies, Side};

const CHUNKED: &str = "Transfer-Encoding: chunked";
const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";
/// Both say no, in their own words.
const BOTH: crate::compare::Departure = Unreadable(400, 400);

pub(crate) async fn framings(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let post = |lines: &[&str], body: &str| {
        let case = case("POST", "/a").body(body);
        lines.iter().fold(case, |case, line| case.with(line))
    };
    let mut cases = vec![
        // The encoding wins.
        post(&["Content-Length: 3", CHUNKED], HELLO),
        post(&[CHUNKED, "Content-Length: 15"], HELLO),
        post(&["Content-Length: 5", "Content-Length: 5"], "hello"),
        post(&["Content-Length: 05"], "hello"),
        post(&["Transfer-Encoding: Chunked"], HELLO),
        post(&[CHUNKED], "5;a=b\r\nhello\r\n0\r\n\r\n"),
        post(&[CHUNKED], "0005\r\nhello\r\n000\r\n\r\n"),
        post(&[CHUNKED], "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        // There the lengths count all the same.
        post(&[CHUNKED, "Content-Length: 3", "Content-Length: 4"], HELLO).departs(Accepted),
        post(&[CHUNKED, "Trailer: Content-Length"], HELLO).departs(Accepted),
    ];
    for lengths in [
        &["Content-Length: 5", "Content-Length: 6"][..],
        &["Content-Length: 5, 5"],
        &["Content-Length: +5"],
        &["Content-Length: -1"],
        &["Content-Length: 0x5"],
        &["Content-Length: 5 5"],
        &["Content-Length:"],
        &["Content-Length: 99999999999999999999"],
    ] {
        cases.push(post(lengths, "hello").departs(BOTH));
    }
    for encoding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked"] {
        let encoding = format!("Transfer-Encoding: {encoding}");
        cases.push(post(&[&encoding], HELLO).departs(Unreadable(501, 400)));
    }
    cases.push(post(&[CHUNKED, CHUNKED], HELLO).departs(Unreadable(501, 400)));
    compare(&proxies, cases).await
}

/// Neither speaks it without TLS; ours says nothing to it.
pub(crate) async fn no_http2(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for (side, expected) in [(Side::Kubectl, "HTTP/1.1 400 "), (Side::Ours, "")] {
        let mut caller = proxies.caller(side).await?;
        caller.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let (answer, _) = caller.rest().await?;
        ensure!(answer.starts_with(expected), "{side:?}: {answer}");
        ensure!(
            answer.is_empty() == expected.is_empty(),
            "{side:?}: {answer}"
        );
    }
    Ok(())
}

/// What a server reads before anything else.
fn heads() -> Vec<Case> {
    let mut cases = vec![
        get("/a").without_host().departs(Status(400)),
        get("/a").with("Host: localhost").departs(Status(400)),
        get("/a").with("Host: evil.com").departs(Status(400)),
        get("http://localhost/a")
            .without_host()
            .departs(Status(400)),
        get("*").departs(Status(400)),
        case("OPTIONS", "*a").departs(Status(400)),
        get("a").departs(Status(400)),
        case("POST", "/a")
            .with("Expect: more")
            .with("Content-Length: 0")
            .departs(Status(417)),
    ];
    for host in [
        "user@localhost",
        "a b",
        "a/b",
        "a\"b",
        "a<b",
        "localhost?x",
        "localhost#x",
        "a\\b",
    ] {
        cases.push(get("/a").host(host).departs(Status(400)));
    }
    cases.push(get("/a").host(b"localhost\x80").departs(Status(400)));
    cases
}

pub(crate) async fn first_lines(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let mut cases = heads();
    cases.extend([
        case("OPTIONS", "*").host("evil.com"),
        case("OPTIONS", "*").with("Content-Length: 5").body("hello"),
        line("OPTIONS * HTTP/1.0"),
        line("GET /a HTTP/1.0"),
        line("GET /a HTTP/1.0").without_host().departs(Status(403)),
        line("POST /a HTTP/1.0")
            .with("Content-Length: 5")
            .body("hello"),
        line("HEAD /a HTTP/1.0"),
        // Chunks that Go does not read there, and takes for the next request.
        line("POST /a HTTP/1.0")
            .with(CHUNKED)
            .body(HELLO)
            .departs(Refused(400)),
        line("GET /a HTTP/1.2").departs(Refused(400)),
        // RFC 9112 wants one such line to be borne.
        line("\r\nGET /a HTTP/1.1").departs(Accepted),
        get("a:b").departs(Refused(400)),
        get("http:a").departs(Refused(400)),
        // Whose path is empty: kubectl sends the caller on to "/".
        get("http://localhost").departs(Accepted),
        get("http://localhost?x").departs(Accepted),
        case("CONNECT", "/a").departs(Refused(400)),
        case("CONNECT", "/a//b").departs(Refused(400)),
        case("CONNECT", "localhost:80").departs(Unreadable(404, 400)),
    ]);
    for version in ["http/1.1", "HTTP/1", "", "HTTP/1.10", "HTTPS/1.1"] {
        cases.push(line(format!("GET /a {version}")).departs(BOTH));
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        cases.push(line(format!("GET /a {version}")).departs(Unreadable(505, 400)));
    }
    for odd in [
        "GET  /a HTTP/1.1",
        "GET /a  HTTP/1.1",
        "GET /a HTTP/1.1 ",
        " GET /a HTTP/1.1",
        "GET\t/a\tHTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a?b c HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /a\x01b HTTP/1.1",
        "GET /a?\x01 HTTP/1.1",
        "GET /a\x7fb HTTP/1.1",
        "GET /a?\x7f HTTP/1.1",
        "GET  HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET #a HTTP/1.1",
        "GET http://a%20b/ HTTP/1.1",
        "OPTIONS *? HTTP/1.1",
        "G\"T /a HTTP/1.1",
        "G(T /a HTTP/1.1",
        "G\u{e9}T /a HTTP/1.1",
        "hello",
        "\x16\x03\x01\x02",
    ] {
        cases.push(line(odd).departs(BOTH));
    }
    for method in ["get", "G-T", "G_T!#$%&'*+.^`|~0", &"M".repeat(300)] {
        cases.push(case(method, "/a"));
    }
    compare(&proxies, cases).await
}

pub(crate) async fn malformed_in_kubectls_words(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start_ours(&[], &["--kubectl-errors"]).await?;
    compare(&proxies, as_kubectl(heads())).await
}

pub(crate) async fn header_lines(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let mut cases = Vec::new();
    for good in [
        &b"X-A: \xe9\xff"[..],
        b"X-A: a\tb",
        b"X-A:\ta\t",
        b"X-A:",
        b"X-A:   ",
        b"X-A:  a b  ",
        b"X-A: \"a;b,c\"",
        b"x-lower: a\r\nX-LOWER: b\r\nx-LoWer: c",
        b"X-One: 1\r\nX-Two: 2\r\nX-One: 3\r\nX-Two: 4\r\nx-one: 1",
        b"X_A: a",
        b"X!#$%&'*+-.^_`|~: a",
        b"1: a",
        // One line feed ends a line, too.
        b"X-A: a\nX-B: b",
    ] {
        cases.push(get("/a").with(good));
    }
    for bad in [
        &b"X-A: a\x01b"[..],
        b"X-A: a\x7fb",
        b"X-A: a\0b",
        b"X-A: a\rb",
        b"X A: a",
        b"X-A : a",
        b" X-A: a",
        b": a",
        b"X-A",
        b"X\xe9: a",
        b"X(A): a",
        b"X\"A: a",
    ] {
        cases.push(get("/a").with(bad).departs(BOTH));
    }
    for folded in ["X-A: a\r\n b", "X-A: a\r\n\tb"] {
        cases.push(get("/a").with(folded).departs(Refused(400)));
    }
    for own in ["Culvert-Error", "Http2-Settings"] {
        let names = match own {
            "Culvert-Error" => &["culvert-error"],
            _ => &["http2-settings"],
        };
        cases.push(get("/a").with(format!("{own}: a")).departs(Kept(names)));
    }
    for long in [8 * 1024, 100 * 1024] {
        cases.push(get("/a").with(format!("X-Long: {}", "a".repeat(long))));
    }
    compare(&proxies, cases).await
}
