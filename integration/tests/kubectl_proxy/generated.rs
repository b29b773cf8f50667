//! Paths put together at random from a fixed seed: both read them alike, and the
//! filter lets none through that kubectl's keeps back.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http1;
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::proxies::{Exchange, Proxies, Side};

const SHORT: u32 = 250;
const LONG: u32 = 20_000;

/// Between slashes, or beside each other.
const PIECES: &[&str] = &[
    "",
    "a",
    "api",
    "API",
    "apis",
    "custom",
    "v1",
    "namespaces",
    "x",
    "pods",
    "exec",
    "attach",
    "portforward",
    "proxy",
    ".",
    "..",
    "...",
    "%2e%2e",
    "%2E",
    "%2F",
    "%2f",
    "%65xec",
    "e%78ec",
    "%41",
    "%252F",
    "%20",
    "%00",
    "%0a",
    "%ff",
    "%c3%a9",
    "%5c",
    "%",
    "%z",
    "%2",
    "|",
    "^",
    "{}",
    "\\",
    "[]",
    "!",
    "'",
    "()",
    "*",
    "+",
    ",",
    ";",
    "=",
    ":",
    "@",
    "~",
    "$",
    "&",
    "-",
    "_",
];

const FLAGS: &[&[&str]] = &[
    &[],
    &["--api-prefix=/custom"],
    &["--api-prefix=/api/"],
    &["--accept-paths=^/api/v1,^/a$,^$", "--reject-paths=exec$"],
];

fn target() -> impl Strategy<Value = String> {
    let piece = (select(PIECES), prop::bool::weighted(0.8));
    let query = select(&["", "", "?", "?a=%2F", "?a/../b//c"]);
    (vec(piece, 0..9), query).prop_map(|(pieces, query)| {
        let mut path = "/".to_owned();
        for (piece, ends) in pieces {
            path += piece;
            if ends {
                path.push('/');
            }
        }
        path + query
    })
}

pub(crate) async fn paths_at_random(_: Arc<Environment>) -> Result<()> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let strategy = target();
    for flags in FLAGS {
        let proxies = Proxies::start(flags).await?;
        let mut statuses = std::collections::BTreeMap::new();
        for _ in 0..amount(SHORT, LONG) {
            let target = strategy
                .new_tree(&mut runner)
                .map_err(|reason| anyhow::anyhow!("{reason}"))?
                .current();
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let kubectl = proxies.exchange(Side::Kubectl, request.as_bytes()).await;
            let kubectl = kubectl.with_context(|| format!("kubectl: {target}"))?;
            let ours = proxies.exchange(Side::Ours, request.as_bytes()).await;
            let ours = ours.with_context(|| format!("proxy-sidecar: {target}"))?;
            if ours.answer.status == 403 && plainer(&target) {
                // Judged as the API server would read it, too.
                ensure!(ours.asked.is_none(), "{target}");
                *statuses.entry(403).or_insert(0) += 1;
                continue;
            }
            same(&kubectl, &ours).with_context(|| format!("{flags:?} {target}"))?;
            *statuses.entry(ours.answer.status).or_insert(0) += 1;
        }
        println!("{flags:?}: {statuses:?}");
    }
    Ok(())
}

/// Whether the API server reads a shorter path in it, or it has what kubectl's `.` does
/// not stand for.
fn plainer(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let path: Vec<u8> = percent_decode_str(path).collect();
    path.starts_with(b"//") || path.ends_with(b"/") || path.contains(&b'\n')
}

fn same(kubectl: &Exchange, ours: &Exchange) -> Result<()> {
    let statuses = (kubectl.answer.status, ours.answer.status);
    ensure!(statuses.0 == statuses.1, "statuses {statuses:?}");
    let [there, here] = [kubectl, ours].map(|one| one.asked.as_ref().map(|asked| &asked.target));
    ensure!(there == here, "asked {there:?} and {here:?}");
    if statuses.0 == 307 {
        let (there, here) = (location(kubectl)?, location(ours)?);
        // kubectl's escapes the path once more.
        let (path, query) = there.split_once('?').unwrap_or((&there, ""));
        let path: Vec<u8> = percent_decode_str(path).collect();
        let (ours, our_query) = here.split_once('?').unwrap_or((&here, ""));
        ensure!(
            path == ours.as_bytes() && query == our_query,
            "to {there} and {here}"
        );
    }
    Ok(())
}

fn location(exchange: &Exchange) -> Result<String> {
    let mut values = http1::values(&exchange.answer.headers, "location");
    let value = values.next().context("no Location")?;
    Ok(String::from_utf8(value.to_vec())?)
}
