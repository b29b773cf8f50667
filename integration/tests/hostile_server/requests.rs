//! Requests that no good server sends. Whatever of them the connector relays goes
//! to its sidecar, as a request for the sidecar.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::environment::Environment;
use integration::http2_frames::{
    NEWEST_FIELD, block, data, flag, headers, headers_in_pieces, remembered_field,
};
use integration::raw_http::RawUpstream;
use tokio::time::timeout;

use crate::server::{GET, Link};
use crate::stage::Stage;

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// Each over the link, or a new one where the one before has ended.
async fn each(stage: &Stage, requests: Vec<Fields<'_>>) -> Result<()> {
    let mut link = stage.server()?.link().await?;
    for fields in requests {
        for last in [flag::END_STREAM, flag::NONE] {
            let sent = send(&mut link, &fields, last).await;
            let ended = sent.with_context(|| format!("{fields:?}"))?;
            if ended {
                link = stage.server()?.link().await?;
            }
        }
        stage.connector_lives().await?;
        stage.sidecar.only_plain_requests()?;
    }
    link.works().await
}

/// Tells whether the link ended of it.
async fn send(link: &mut Link, fields: &[(&str, &str)], last: u8) -> Result<bool> {
    let stream = link.stream();
    let mut bytes = headers(stream, last, fields);
    if last == flag::NONE {
        bytes.extend(data(
            stream,
            flag::END_STREAM,
            b"GET /smuggled HTTP/1.1\r\nHost: forged\r\n\r\n",
        ));
    }
    if link.writer.send(bytes).await.is_err() {
        return Ok(true);
    }
    Ok(link.ended(stream).await?.is_none())
}

fn with<'a>(changes: &[(&'a str, &'a str)]) -> Fields<'a> {
    let kept = GET
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let mut fields: Fields<'_> = kept.copied().collect();
    let (pseudo, ordinary): (Vec<_>, Vec<_>) = changes
        .iter()
        .copied()
        .partition(|(name, _)| name.starts_with(':'));
    fields.extend(pseudo);
    fields.extend(ordinary);
    fields
}

pub(crate) async fn requests_to_elsewhere(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let elsewhere = RawUpstream::bind().await?;
    let address = elsewhere.address.to_string();
    let (url, double) = (format!("http://{address}/x"), format!("//{address}/x"));
    let user = format!("localhost@{address}");
    let mut requests = Vec::new();
    for path in [
        &url,
        &double,
        "*",
        "",
        "x",
        "?x",
        "#x",
        "/x y",
        "/x\r\nhost: forged",
        "/\0",
        "/../..",
        "/%00",
        "http:x",
        "@elsewhere",
        "\\\\elsewhere\\x",
        "/x HTTP/1.1\r\n\r\n",
        "/\u{e9}",
        "/x#forged",
    ] {
        requests.push(with(&[(":path", path)]));
        requests.push(with(&[(":method", "OPTIONS"), (":path", path)]));
    }
    for authority in [
        &address,
        &user,
        "",
        "forged",
        "forged:80",
        "a b",
        "localhost:1",
        "[::1]:80",
        "local\r\nhost",
    ] {
        requests.push(with(&[(":authority", authority)]));
        requests.push(with(&[("host", authority)]));
        requests.push(with(&[(":authority", authority), ("host", "forged")]));
        requests.push(with(&[
            ("host", authority),
            ("x-forwarded-host", "elsewhere"),
            ("forwarded", "host=elsewhere"),
        ]));
        requests.push(vec![(":method", "CONNECT"), (":authority", authority)]);
        requests.push(with(&[(":method", "CONNECT"), (":authority", authority)]));
        let protocol = (":protocol", "websocket");
        requests.push(with(&[
            (":method", "CONNECT"),
            (":authority", authority),
            protocol,
        ]));
    }
    for scheme in ["https", "file", "", "ftp", "http:", "unix"] {
        requests.push(with(&[(":scheme", scheme), (":authority", &address)]));
    }
    for method in [
        "",
        "get",
        "GET / HTTP/1.1\r\n",
        "A B",
        "TRACE",
        "PRI",
        "\0",
        "VERYLONGMETHODTHATNOBODYKNOWS",
    ] {
        requests.push(with(&[(":method", method)]));
    }
    requests.push(vec![]);
    requests.push(vec![(":method", "GET")]);
    requests.push(vec![
        (":path", "/x"),
        (":path", &url),
        (":method", "GET"),
        (":scheme", "http"),
    ]);
    requests.push(with(&[(":status", "200")]));
    requests.push([vec![("x", "y")], GET.to_vec()].concat());
    each(&stage, requests).await?;
    let none = timeout(std::time::Duration::from_millis(100), elsewhere.request()).await;
    anyhow::ensure!(none.is_err(), "it dialled where a request said");
    stage.end().await
}

pub(crate) async fn forged_markers(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut requests = Vec::new();
    for field in [
        ("culvert-sidecar-secret", "forged"),
        ("culvert-stream", "forged"),
        ("culvert-error", "forged"),
        ("culvert-upgraded", "forged"),
        ("culvert-anything", "forged"),
        ("connection", "culvert-request-id"),
        ("connection", "host"),
        ("keep-alive", "forged"),
        ("proxy-connection", "forged"),
        ("proxy-authorization", "forged"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "forged"),
        ("content-length", "0"),
        ("content-length", "100000"),
        ("content-length", "-1"),
        ("content-length", "1, 1"),
        ("upgrade", "forged"),
        ("te", "forged"),
        ("te", "trailers"),
        ("trailer", "host"),
        ("expect", "100-continue"),
        ("http2-settings", "forged"),
        ("Host", "forged"),
        ("origin", "forged://elsewhere"),
        ("x", "a\r\nhost: forged"),
        ("x\r\nhost", "forged"),
        ("x", "a\nb"),
        ("", "forged"),
        (" host", "forged"),
        ("host ", "forged"),
    ] {
        requests.push(with(&[field]));
    }
    each(&stage, requests).await?;
    // In trailers, too.
    let mut link = stage.server()?.link().await?;
    let stream = link.stream();
    let trailers = [
        ("culvert-sidecar-secret", "forged"),
        ("host", "forged"),
        (":path", "/forged"),
    ];
    for fields in [&trailers[..1], &trailers[1..2], &trailers[2..]] {
        let bytes = [
            headers(
                stream,
                flag::NONE,
                &with(&[("trailer", "host, culvert-sidecar-secret")]),
            ),
            data(stream, flag::NONE, b"x"),
            headers(stream, flag::END_STREAM, fields),
        ];
        drop(link.writer.send(bytes.concat()).await);
        if link.ended(stream).await?.is_none() {
            link = stage.server()?.link().await?;
        }
    }
    drop(link);
    stage.end().await
}

pub(crate) async fn upgrades_by_odd_methods(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut requests = Vec::new();
    for protocol in [
        "websocket",
        "SPDY/3.1",
        "h2c",
        "",
        "websocket, SPDY/3.1",
        "TLS/1.0",
        "forged",
    ] {
        for method in [
            "GET",
            "POST",
            "CONNECT",
            "OPTIONS",
            "TRACE",
            "PRI",
            "",
            "A B",
            "get\r\nhost: forged",
            "X",
        ] {
            requests.push(with(&[
                (":method", "POST"),
                ("culvert-upgrade", protocol),
                ("culvert-upgrade-method", method),
            ]));
        }
        requests.push(with(&[("culvert-upgrade", protocol)]));
    }
    requests.push(with(&[("culvert-upgrade-method", "CONNECT")]));
    each(&stage, requests).await?;
    stage.end().await
}

/// The id stands in each line of the log that is about the request.
pub(crate) async fn request_ids_without_end(environment: Arc<Environment>) -> Result<()> {
    const SHOWN: usize = 64;
    let stage = Stage::set(&environment).await?;
    let mut link = stage.server()?.link().await?;
    let id = "i".repeat(60_000);
    let stream = link.stream();
    let request = with(&[("culvert-request-id", &id)]);
    let sent = headers(stream, flag::END_STREAM, &request);
    link.writer.send(sent).await?;
    link.ended(stream).await?.context("the link has ended")?;
    link.works().await?;
    let log = std::fs::read_to_string(stage.chain.client.log())?;
    anyhow::ensure!(log.contains(&id[..SHOWN]), "no line has an id");
    anyhow::ensure!(!log.contains(&id[..=SHOWN]), "a line has all of the id");
    drop(link);
    stage.end().await
}

pub(crate) async fn header_blocks_over_the_limit(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let large = "x".repeat(1 << 20);
    let one = block(&with(&[("x-large", &large)]));
    let many = [block(GET), block(&[("x", "y")]).repeat(32 * 1024)].concat();
    let bomb = [
        block(GET),
        remembered_field("x-bomb", &large[..4000]),
        vec![NEWEST_FIELD; 60_000],
    ]
    .concat();
    for block in [one, many, bomb] {
        let mut link = stage.server()?.link().await?;
        let stream = link.stream();
        let bytes = headers_in_pieces(stream, flag::END_STREAM, &block, 16 * 1024);
        drop(link.writer.send(bytes).await);
        link.ended(stream).await?;
        stage.connector_lives().await?;
    }
    let heads = stage.sidecar.heads();
    anyhow::ensure!(heads.iter().all(|head| head.len() < 512 * 1024));
    stage.end().await
}
