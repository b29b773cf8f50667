//! The Host: its spellings, names that nobody has, and what is no host.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use http::{Method, Request, Version};
use integration::chain::{BASE_DOMAIN, CLUSTER};
use integration::environment::Environment;

use crate::calls::answer_over_http2;
use crate::stage::{CLOSE, Stage, shown};

/// Hosts of nobody's here.
fn nobodys() -> Vec<String> {
    let mut hosts: Vec<_> = [
        "",
        ":443",
        "elsewhere.example",
        "culvert.test.elsewhere.example",
        "evilculvert.test",
        "evil-culvert.test",
        "prod.culvert.test.",
        "a.prod.culvert.test",
        "prod..culvert.test",
        ".culvert.test",
        "*.culvert.test",
        "www.culvert.test",
        "api.culvert.test",
        "admin.culvert.test",
        "login.culvert.test",
        "xn--prd-sna.culvert.test",
        "prod_.culvert.test",
        "-prod.culvert.test",
        "127.0.0.2",
        "127.1",
        "[::2]",
        "[::2]:443",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "test",
    ]
    .map(str::to_owned)
    .into();
    // Once is the name's own root, twice is no name.
    hosts[6].push('.');
    hosts.push(format!("{}.{BASE_DOMAIN}", "a".repeat(64)));
    hosts
}

pub(crate) async fn one_name_in_many_spellings(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    for host in [
        "prod.culvert.test",
        "PROD.Culvert.TEST",
        "prod.culvert.test.",
        "prod.culvert.test:443",
        "prod.culvert.test:1",
        "prod.culvert.test:65535",
        "prod.culvert.test:",
        "prod.culvert.test.:8443",
    ] {
        let seen = stage.seen(&stage.prod, &stage.head("GET /a", host)).await?;
        ensure!(seen.contains("\r\nhost: ") || seen.contains("\r\nHost: "));
        ensure!(!seen.contains(BASE_DOMAIN), "the caller's host: {seen}");
        for scheme in ["https", "http", "HTTPS"] {
            let absolute = stage.head(&format!("GET {scheme}://{host}/a"), host);
            let seen = stage.seen(&stage.prod, &absolute).await?;
            ensure!(seen.starts_with("GET /a HTTP/1.1\r\n"), "{seen}");
        }
    }
    for (target, path) in [
        ("https://prod.culvert.test", "/"),
        ("https://prod.culvert.test?x", "/?x"),
    ] {
        let request = stage.head(&format!("GET {target}"), "prod.culvert.test");
        let seen = stage.seen(&stage.prod, &request).await?;
        ensure!(
            seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{seen}"
        );
    }
    for host in [
        "culvert.test",
        "CULVERT.test:9",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[::1]:1",
    ] {
        let request = stage.head("GET /clusters/prod/a", host);
        let seen = stage.seen(&stage.prod, &request).await?;
        ensure!(seen.starts_with("GET /a HTTP/1.1\r\n"), "{seen}");
    }
    stage.stop().await
}

pub(crate) async fn hosts_that_nobody_has(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    for host in nobodys() {
        for request in [
            stage.head("GET /clusters/prod/a", &host),
            stage.head("GET /tunnel/v1", &host),
            stage.head(&format!("GET https://{host}/a"), &host),
        ] {
            // A target without a host is no target.
            let valid = !host.is_empty() || !request.contains("https://");
            let refusal = stage.refusal(&request).await?;
            let expected = if valid { 421 } else { 400 };
            ensure!(refusal.status == expected, "{host:?}: {refusal:?}");
            ensure!(!valid || refusal.code == "unknown-host", "{refusal:?}");
        }
    }
    let old = stage.refusal("GET / HTTP/1.0\r\n\r\n").await?;
    ensure!(old.status == 421, "{old:?}");
    stage.nothing_arrived().await?;
    stage.stop().await
}

fn over_http2(uri: &str, host: Option<&str>) -> Result<Request<()>> {
    // To the library: forwarded from HTTP/1.1, and so without `:authority`.
    let version = if uri.starts_with('/') {
        Version::HTTP_11
    } else {
        Version::HTTP_2
    };
    let mut request = Request::builder().version(version).uri(uri);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    Ok(request.body(())?)
}

pub(crate) async fn hosts_that_nobody_has_over_http2(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    for host in nobodys() {
        let by_authority = over_http2(&format!("https://{host}/clusters/prod/a"), None);
        let by_host = over_http2("/clusters/prod/a", Some(&host))?;
        // What is no URI cannot be asked for with this library.
        for request in by_authority.into_iter().chain([by_host]) {
            let what = format!("{request:?}");
            let (status, _) = answer_over_http2(&stage.chain, request).await??;
            ensure!(status == 421, "{what}: {status}");
        }
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

pub(crate) async fn malformed_hosts_and_targets(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    let (token, own) = (stage.authorization(), stage.chain.host());
    let mut requests: Vec<_> = [
        "user@prod.culvert.test",
        "user:pass@prod.culvert.test",
        "prod.culvert.test@elsewhere.example",
        "prod.culvert.test:65536",
        "prod.culvert.test:99999999999999999999",
        "prod.culvert.test:-1",
        "prod.culvert.test:https",
        "prod.culvert.test:443:x",
        "pr\u{f6}d.culvert.test",
        "prod\u{3002}culvert.test",
    ]
    .map(|host| stage.head("GET /a", host))
    .into();
    for start in [
        "GET *",
        "OPTIONS *",
        "GET https://other.culvert.test/a",
        "GET https://prod.culvert.test:443/a",
        "GET https://prod.culvert.test./a",
        "GET https://user@prod.culvert.test/a",
        "GET prod.culvert.test",
        "GET prod.culvert.test/a",
        "GET a",
        "GET ?a",
        "GET \\a",
        "GET /\u{e4}",
        "GET /a#b",
        "GET /a?b#c",
        "GET /#/../b",
        "GET /a\u{1}b",
        "GET /a\u{7f}b",
        "GET /a\tb",
        "GET /a b",
        "GET /a<b>",
        "GET /a^`",
        "GET",
        "GET ",
        "CONNECT prod.culvert.test",
        "CONNECT prod.culvert.test:443",
        "CONNECT /a",
    ] {
        requests.push(stage.head(start, &own));
    }
    for lines in [
        String::new(),
        format!("Host: {own}\r\nHost: {own}\r\n"),
        format!("Host: {own}\r\nHost: other.culvert.test\r\n"),
    ] {
        requests.push(format!("GET /a HTTP/1.1\r\n{lines}{token}{CLOSE}\r\n"));
    }
    for request in requests {
        let refusal = stage.refusal(&request).await?;
        ensure!(refusal.status == 400, "{}: {refusal:?}", shown(&request));
    }
    for start in [
        "CONNECT elsewhere.example:443",
        "GET https://elsewhere.example/a",
    ] {
        let host = start
            .split([' ', '/'])
            .find(|part| part.contains("elsewhere"));
        let request = stage.head(start, host.context("no host")?);
        let refusal = stage.refusal(&request).await?;
        ensure!(refusal.status == 421, "{start}: {refusal:?}");
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

pub(crate) async fn malformed_hosts_and_targets_over_http2(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    let own = stage.chain.host();
    let authority = format!("https://{own}/a");
    for (uri, host) in [
        (authority.as_str(), Some("other.culvert.test")),
        (&authority, Some("")),
        (&authority, Some("prod.culvert.test:443")),
        ("https://user@prod.culvert.test/a", None),
        ("https://prod.culvert.test:99999/a", None),
        ("https://prod.culvert.test:x/a", None),
        ("https://prod.culvert.test/a/../b", None),
        ("https://prod.culvert.test//b", None),
        ("https://prod.culvert.test/\\b", None),
        ("/a", None),
        ("/a", Some("user@prod.culvert.test")),
    ] {
        // What the library does not send is not the server's to refuse.
        let Ok(request) = over_http2(uri, host) else {
            continue;
        };
        match answer_over_http2(&stage.chain, request).await? {
            Ok((status, _)) => ensure!(status == 400, "{uri} {host:?}: {status}"),
            Err(error) => ensure!(error.is_reset() || error.is_go_away(), "{uri}: {error}"),
        }
    }
    let mut connect = Request::new(());
    *connect.method_mut() = Method::CONNECT;
    *connect.uri_mut() = format!("{CLUSTER}.{BASE_DOMAIN}:443").parse()?;
    let (status, _) = answer_over_http2(&stage.chain, connect).await??;
    ensure!(status == 400, "CONNECT: {status}");
    // Both, and alike, is as good as one.
    for host in [None, Some("PROD.culvert.test")] {
        let request = over_http2(&authority, host)?;
        let (status, headers) = answer_over_http2(&stage.chain, request).await??;
        ensure!(status == 401, "{status} {headers:?}");
    }
    let (status, _) = answer_over_http2(&stage.chain, over_http2("/a", Some(&own))?).await??;
    ensure!(status == 401, "by Host alone: {status}");
    stage.nothing_arrived().await?;
    stage.stop().await
}
