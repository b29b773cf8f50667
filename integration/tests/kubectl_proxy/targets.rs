//! Targets with bytes that are no part of URLs, which `curl` sends all the same, and
//! targets that are whole URLs.

use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;

use crate::compare::Departure::{Redirect, Status, Target, Unreadable};
use crate::compare::{Case, compare, get};
use crate::proxies::Proxies;

fn raw() -> Vec<Case> {
    let mut cases: Vec<_> = [
        &b"/a<b"[..],
        b"/a>b",
        b"/a`b",
        b"/a\"b",
        b"/a\\b\"c<",
        b"/\xe9",
        b"/\xc3\xa9",
        b"/a\xa0",
        b"/a#frag",
        b"/#",
        b"/a#",
        b"/a#?b",
        b"/a#b/../c",
        b"/a?b`c",
        b"/a?b{c}|d^e\\f",
        b"/a?x=%zz",
    ]
    .map(get)
    .into();
    // In the query they mean the same escaped.
    for (sent, target) in [
        (&b"/a?b#c"[..], "/a?b%23c"),
        (b"/a?#", "/a?%23"),
        (b"/a?b#c?d", "/a?b%23c?d"),
        (b"/a?query=up{job=\"x\"}", "/a?query=up{job=%22x%22}"),
        (b"/a?b<c>", "/a?b%3Cc%3E"),
        (b"/a?\xe9", "/a?%E9"),
        (b"/a?\xc3\xa9", "/a?%C3%A9"),
        // kubectl spells all of such a path anew.
        (b"/a%2Fb<c", "/a%2Fb%3Cc"),
    ] {
        cases.push(get(sent).departs(Target(target)));
    }
    cases.push(get("/a<b//c").departs(Redirect));
    cases.push(get("/a%zz#b").departs(Status(400)));
    cases
}

fn absolute() -> Vec<Case> {
    let mut cases: Vec<_> = [
        "http://localhost/a?b",
        "https://localhost/a",
        "ftp://localhost/a",
        "HTTP://localhost/a",
        "http://localhost:99/a",
        "http://u:p@localhost/a",
        "http://localhost//a",
    ]
    .map(get)
    .into();
    cases.push(get("http://localhost/a").host("evil.com"));
    cases.push(get("http://evil.com/a").departs(Status(403)));
    cases.push(get("http://localhost@evil.com/a").departs(Status(403)));
    cases.push(get("http://evil.com/a").host("user@x").departs(Status(400)));
    cases.push(get("http://a\"b/").departs(Unreadable(403, 400)));
    cases
}

pub(crate) async fn odd_targets(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    compare(&proxies, [raw(), absolute()].concat()).await
}

/// Below a prefix that is taken away all is spelled anew, here as there.
pub(crate) async fn odd_targets_below_a_prefix(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&["--api-prefix=/custom/"]).await?;
    let cases = [
        &b"/custom/a<b"[..],
        b"/custom/a%2Fb<c",
        b"/custom/\xe9?x=1",
        b"/custom/a#b",
        b"/custom<",
        b"/custo<m/a",
    ];
    compare(&proxies, cases.map(get).into()).await
}
