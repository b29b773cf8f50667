//! Answers that lie: about their length, about who speaks, about what they are.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::http1;
use integration::http2_frames::{data, flag, headers};
use integration::raw_http::Ended;

use crate::connector::{Connector, gone, in_order, say, say_once};
use crate::stage::{EVIL, Stage};

type Fields = &'static [(&'static str, &'static str)];

fn answer(stream: u32, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let head = headers(stream, flag::NONE, fields);
    [head, data(stream, flag::END_STREAM, body)].concat()
}

pub(crate) async fn lying_lengths(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let lies: &[(Fields, &[u8])] = &[
        (&[(":status", "200"), ("content-length", "6")], b"evil's!"),
        (&[(":status", "200"), ("content-length", "6")], b"evil"),
        (&[(":status", "200"), ("content-length", "0")], b"evil's"),
        (
            &[(":status", "200"), ("content-length", "9999999999")],
            b"evil's",
        ),
        (&[(":status", "200"), ("content-length", "-1")], b"evil's"),
        (&[(":status", "200"), ("content-length", "six")], b"evil's"),
        (&[(":status", "200"), ("content-length", "6, 6")], b"evil's"),
        (
            &[
                (":status", "200"),
                ("content-length", "6"),
                ("content-length", "7"),
            ],
            b"evil's",
        ),
        (
            &[
                (":status", "200"),
                ("content-length", "99999999999999999999999"),
            ],
            b"evil's",
        ),
        (
            &[(":status", "200"), ("transfer-encoding", "chunked")],
            b"0\r\n\r\n",
        ),
    ];
    for (fields, body) in lies {
        let got = say_once(&stage, |stream| answer(stream, fields, body)).await?;
        // Begun before the lie was told, or refused; whole it is never.
        let told = got.body.is_err() || got.must_be_a_refusal().is_ok();
        ensure!(told, "{fields:?} with {body:?} looks whole: {got:?}");
        stage.others_are_served().await?;
    }
    // The length is in the head that ends the answer.
    let empty = |stream| {
        headers(
            stream,
            flag::END_STREAM,
            &[(":status", "200"), ("content-length", "6")],
        )
    };
    let got = say_once(&stage, empty).await?;
    ensure!(
        got.body.is_err() || got.must_be_a_refusal().is_ok(),
        "looks whole: {got:?}"
    );
    // None is no lie.
    let got = say_once(&stage, |stream| {
        answer(stream, &[(":status", "200")], b"evil's")
    })
    .await?;
    got.must_be_evils_own()?;
    stage.end().await
}

/// On one caller's connection, an answer of `evil`'s and then one of `prod`'s:
/// whatever `evil` says, the second is `prod`'s, or the connection has ended.
pub(crate) async fn no_answer_is_anothers(environment: Arc<Environment>) -> Result<()> {
    const FORGED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let stage = Stage::set(&environment).await?;
    let heads: &[(&str, Fields)] = &[
        ("GET", &[(":status", "200"), ("content-length", "0")]),
        ("GET", &[(":status", "204")]),
        ("GET", &[(":status", "204"), ("content-length", "48")]),
        ("GET", &[(":status", "205")]),
        ("GET", &[(":status", "304")]),
        ("GET", &[(":status", "304"), ("content-length", "48")]),
        ("GET", &[(":status", "100")]),
        ("GET", &[(":status", "101"), ("upgrade", "websocket")]),
        ("GET", &[(":status", "199")]),
        ("GET", &[(":status", "200"), ("content-length", "3")]),
        ("GET", &[(":status", "200"), ("content-length", "4800")]),
        ("GET", &[(":status", "200"), ("connection", "keep-alive")]),
        ("GET", &[(":status", "200"), ("keep-alive", "timeout=600")]),
        ("GET", &[(":status", "200"), ("trailer", "content-length")]),
        ("HEAD", &[(":status", "200"), ("content-length", "48")]),
        ("HEAD", &[(":status", "200")]),
        ("HEAD", &[(":status", "204")]),
        ("OPTIONS", &[(":status", "200"), ("content-length", "0")]),
    ];
    for (method, fields) in heads {
        for whole in [false, true] {
            let name = format!("{method} {fields:?} {whole}");
            smuggle(&stage, method, |stream| {
                let head = headers(stream, if whole { flag::END_STREAM } else { 0 }, fields);
                let body = data(stream, flag::END_STREAM, FORGED);
                if whole { head } else { [head, body].concat() }
            })
            .await
            .context(name)?;
        }
    }
    stage.end().await
}

async fn smuggle(stage: &Stage, method: &str, bytes: impl FnOnce(u32) -> Vec<u8>) -> Result<()> {
    let mut connector = Connector::settled(stage).await?;
    let mut caller = stage.chain.raw_caller().await?;
    let requests = [
        stage.raw_request(method, EVIL, ""),
        stage.raw_request("GET", "prod", "Connection: close\r\n"),
    ];
    caller.send(requests.concat()).await?;
    let saying = async {
        let stream = connector.request().await?;
        drop(connector.writer.send(bytes(stream)).await);
        connector.reader.to_the_end().await;
        std::future::pending::<Result<()>>().await
    };
    let (said, ended) = tokio::select! {
        rest = caller.rest() => rest?,
        failed = saying => return failed,
    };
    let said = said.as_bytes();
    match http1::response(said, method)? {
        Some((_, length)) if length < said.len() => {
            let (second, _) = http1::response(&said[length..], "GET")?.context("half an answer")?;
            ensure!(
                second.body == b"prod's",
                "{:?}",
                String::from_utf8_lossy(said)
            );
        }
        // Nothing follows on a connection of which nobody knows where it is.
        Some(_) => ensure!(ended == Ended::Closed || ended == Ended::Broken),
        None => ensure!(
            ended == Ended::Broken,
            "{:?}",
            String::from_utf8_lossy(said)
        ),
    }
    stage.others_are_served().await?;
    drop(connector);
    gone(stage).await
}

pub(crate) async fn answers_that_nobody_asked_for(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    // To streams that the server opens only later.
    for ahead in [2, 4, 1000] {
        let early = |stream| [in_order(stream + ahead), in_order(stream)].concat();
        let got = say_once(&stage, early).await?;
        got.must_be_in_order().context(ahead)?;
        stage.others_are_served().await?;
    }
    // Twice, and after its end.
    let twice = |stream| [in_order(stream), in_order(stream)].concat();
    say_once(&stage, twice).await?.must_be_in_order()?;
    // To the control stream.
    let control = |stream| [in_order(1), in_order(stream)].concat();
    say_once(&stage, control).await?.must_be_in_order()?;
    stage.end().await
}

pub(crate) async fn forged_headers(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let forged: Fields = &[
        (":status", "200"),
        ("culvert-request-id", "forged"),
        ("culvert-error", "unauthenticated"),
        ("culvert-answer", "accepted"),
        ("culvert-upgraded", ""),
        ("culvert-sidecar-secret", "forged"),
        ("set-cookie", "session=forged; Domain=culvert.test; Path=/"),
        ("strict-transport-security", "max-age=0"),
        ("alt-svc", "h3=\"evil.test:443\""),
        ("clear-site-data", "\"*\""),
        ("proxy-authenticate", "Basic"),
        ("x-own", "kept"),
    ];
    let mut connector = Connector::settled(&stage).await?;
    let got = say(&stage, &mut connector, |stream| {
        answer(stream, forged, b"evil's")
    })
    .await?;
    got.must_be_evils_own()?;
    ensure!(
        got.headers
            .get("x-own")
            .is_some_and(|value| value == "kept")
    );
    let ours: Vec<_> = got
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("culvert-"))
        .collect();
    ensure!(ours == ["culvert-request-id"], "{ours:?}");
    ensure!(got.headers["culvert-request-id"] != "forged");
    for gone in [
        "strict-transport-security",
        "alt-svc",
        "clear-site-data",
        "proxy-authenticate",
    ] {
        ensure!(!got.headers.contains_key(gone), "{gone} is left");
    }
    for cookie in got.headers.get_all("set-cookie") {
        let text = cookie.to_str()?.to_ascii_lowercase();
        ensure!(!text.contains("domain"), "a cookie for others: {text}");
    }
    drop(connector);
    gone(&stage).await?;
    // A hop's own headers have no place in HTTP/2: the answer is malformed.
    for own in [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "proxy-connection",
    ] {
        let fields = [(":status", "200"), (own, "close")];
        let got = say_once(&stage, |stream| answer(stream, &fields, b"evil's")).await?;
        let refused = got.must_be_a_refusal();
        refused.or_else(|_| {
            ensure!(!got.headers.contains_key(own), "{own} is left: {got:?}");
            got.must_be_evils_own()
        })?;
    }
    // A failure that only its side knows is told as the cluster's.
    let failed = [(":status", "502"), ("culvert-error", "sidecar-unreachable")];
    let got = say_once(&stage, |stream| answer(stream, &failed, b"")).await?;
    ensure!(got.headers["culvert-error"] == "sidecar-unreachable");
    stage.end().await
}

pub(crate) async fn statuses_that_are_none(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let heads: &[Fields] = &[
        &[("x", "no status")],
        &[(":status", "")],
        &[(":status", "0")],
        &[(":status", "20")],
        &[(":status", "2000")],
        &[(":status", "two")],
        &[(":status", "200"), (":status", "200")],
        &[("x", "y"), (":status", "200")],
        &[(":status", "200"), (":evil", "x")],
        &[(":status", "200"), ("Upper-Case", "x")],
        &[(":status", "200"), ("x y", "x")],
        &[(":status", "200"), ("", "x")],
        &[(":status", "200"), ("x", "a\r\nset-cookie: b")],
        &[(":status", "200"), ("x", "a\0b")],
    ];
    for fields in heads {
        let got = say_once(&stage, |stream| answer(stream, fields, b"evil's")).await;
        got.and_then(|got| got.must_be_a_refusal())
            .with_context(|| format!("{fields:?}"))?;
        stage.others_are_served().await?;
    }
    // What means nothing in an answer is left out.
    let fields = [(":status", "200"), (":path", "/")];
    let got = say_once(&stage, |stream| answer(stream, &fields, b"evil's")).await?;
    got.must_be_evils_own()?;
    // What is a number is passed on as it is.
    for status in ["299", "451", "599", "999"] {
        let fields = [(":status", status)];
        let got = say_once(&stage, |stream| answer(stream, &fields, b"evil's")).await?;
        ensure!(got.status.to_string() == status, "{got:?}");
    }
    stage.end().await
}

pub(crate) async fn switches_that_nobody_asked_for(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for protocol in ["websocket", "SPDY/3.1", "h2c", ""] {
        let fields = [(":status", "200"), ("culvert-upgraded", protocol)];
        let got = say_once(&stage, |stream| answer(stream, &fields, b"evil's")).await?;
        got.must_be_in_order()
            .with_context(|| protocol.to_owned())?;
        ensure!(!got.headers.contains_key("upgrade"));
    }
    // Only provisional answers, and then nothing.
    for status in ["100", "101", "102", "103", "150"] {
        let fields = [(":status", status), ("upgrade-insecure", "x")];
        let got = say_once(&stage, |stream| headers(stream, flag::NONE, &fields)).await?;
        got.must_be_a_refusal().with_context(|| status.to_owned())?;
    }
    stage.end().await
}
