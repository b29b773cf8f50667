//! Whole requests put together at random from a fixed seed, of parts that both take:
//! in any company they have to be read alike.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::endure::amount;
use integration::environment::Environment;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::compare::{Case, compare, line};
use crate::proxies::Proxies;

const SHORT: u32 = 200;
const LONG: u32 = 20_000;

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "get",
];

const TARGETS: &[&str] = &[
    "/",
    "/a?b",
    "/a?",
    "/a%2Fb?c=%zz",
    "/a<b",
    "/a\"b#c",
    "/a//b",
    "/api/v1/namespaces/x/pods?watch=true",
    "/api/v1/namespaces/x/pods/p/portforward",
    "http://localhost/a?b",
    "http://localhost:8001/a",
];

const LINES: &[&str] = &[
    "Accept: application/json;as=Table",
    "Accept-Encoding: gzip",
    "Authorization: Bearer callers",
    "Cookie: a=b",
    "Connection: close, X-Hop",
    "Connection: close",
    "Content-Type: application/json",
    "Content-Encoding: br",
    "If-None-Match: \"a\"",
    "Impersonate-User: a",
    "Impersonate-Group: b",
    "Keep-Alive: timeout=5",
    "Kubectl-Command: get",
    "Origin: http://localhost:8001",
    "Proxy-Authorization: Basic YTpi",
    "Range: bytes=0-1",
    "Te: trailers",
    "Te: deflate",
    "Upgrade: websocket",
    "User-Agent: mine",
    "Via: 1.1 a",
    "X-Forwarded-For: 1.2.3.4",
    "X-Forwarded-For: a,b",
    "X-Hop: a",
    "x-lower: a",
    "X-Lower: b",
    "X-Empty:",
    "X-Blank: \t ",
    "X-Bytes: \u{e9}\u{fffd}",
    "X-Quoted: \"a, b\";c",
];

/// What follows the head.
#[derive(Clone, Debug)]
enum Body {
    None,
    Length(String),
    Chunks(Vec<String>),
    /// With a length that the encoding takes the place of.
    Both(Vec<String>),
}

fn body() -> impl Strategy<Value = Body> {
    let text = "[a-z{}:\"\r\n]{0,40}";
    prop_oneof![
        3 => Just(Body::None),
        2 => text.prop_map(Body::Length),
        2 => vec("[a-z\r\n]{1,20}", 0..4).prop_map(Body::Chunks),
        1 => vec("[a-z\r\n]{1,20}", 0..4).prop_map(Body::Both),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let versions = select(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let first = (select(METHODS), select(TARGETS), versions);
    let lines = subsequence(LINES, 0..8).prop_shuffle();
    let parts = (first, lines, body());
    parts.prop_map(|((method, target, version), lines, body)| {
        let case = line(format!("{method} {target} {version}"));
        let case = lines.into_iter().fold(case, Case::with);
        let chunked = "Transfer-Encoding: chunked";
        match body {
            Body::Length(text) => case
                .with(format!("Content-Length: {}", text.len()))
                .body(text),
            // HTTP/1.0 knows no chunks.
            Body::Chunks(chunks) if version == "HTTP/1.1" => {
                case.with(chunked).body(in_chunks(&chunks))
            }
            Body::Both(chunks) if version == "HTTP/1.1" => case
                .with("Content-Length: 7")
                .with(chunked)
                .body(in_chunks(&chunks)),
            _ => case,
        }
    })
}

fn in_chunks(chunks: &[String]) -> String {
    let chunks = chunks
        .iter()
        .map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    chunks.collect::<String>() + "0\r\n\r\n"
}

pub(crate) async fn requests_at_random(_: Arc<Environment>) -> Result<()> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let (strategy, mut cases) = (case(), Vec::new());
    for _ in 0..amount(SHORT, LONG) {
        let tree = strategy.new_tree(&mut runner);
        cases.push(tree.ok().context("no case")?.current());
    }
    compare(&Proxies::start(&[]).await?, cases).await
}
