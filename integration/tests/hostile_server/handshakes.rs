//! Answers to the connector's handshake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_frames::settings;
use integration::raw_http::RawUpstream;
use integration::wait::until;
use tokio::time::{sleep, timeout};

use crate::server::{ACCEPTED, Server};
use crate::stage::Stage;

/// As in `tunnel_protocol::limits`.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest that a server may ask a connector to wait, and its own jitter.
const LONGEST_ASKED_MS: u64 = 600_000 + 250;

const MIB: u32 = 1 << 20;

/// The connector dials again, and gets a link when it may.
async fn it_comes_back(stage: &Stage) -> Result<()> {
    stage.connector_lives().await?;
    stage.server()?.link().await?.works().await
}

pub(crate) async fn answers_that_are_none(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let elsewhere = RawUpstream::bind().await?;
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{0}/\r\nAlt-Svc: h2=\"{0}\"\r\nContent-Length: 0\r\n\r\n",
        elsewhere.address
    );
    let marked = |status: &str, code: &str| {
        format!("HTTP/1.1 {status}\r\nculvert-answer: {code}\r\nContent-Length: 0\r\n\r\n")
    };
    let answers: Vec<Vec<u8>> = vec![
        b"".into(),
        b"\0\0\0\0".into(),
        b"ok\r\n\r\n".into(),
        b"HTTP/1.1\r\n\r\n".into(),
        b"HTTP/1.1 000 None\r\n\r\n".into(),
        b"HTTP/1.1 999 Much\r\nContent-Length: 0\r\n\r\n".into(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n".into(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        b"HTTP/1.1 204 No Content\r\n\r\n".into(),
        b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: culvert\r\n\r\n"
            .into(),
        ACCEPTED
            .replace("Upgrade: culvert", "Upgrade: websocket")
            .into(),
        ACCEPTED.replace("accepted", "yes").into(),
        ACCEPTED.replace("101", "200").into(),
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".into(),
        // The word and the status do not go together.
        marked("200 OK", "token").into(),
        marked("401 Unauthorized", "version").into(),
        marked("401 Unauthorized", "accepted").into(),
        marked("503 Busy", "made-up").into(),
        redirect.into(),
        // A link, and then no HTTP/2.
        ACCEPTED.into(),
        [ACCEPTED.as_bytes(), b"HTTP/1.1 200 OK\r\n\r\n"].concat(),
        [ACCEPTED.as_bytes(), &settings(&[]), &[0xff; 100_000]].concat(),
    ];
    for answer in answers {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
        let connection = stage
            .server()?
            .answer(answer)
            .await
            .with_context(|| shown.clone())?;
        drop(connection);
        stage.connector_lives().await.context(shown)?;
    }
    it_comes_back(&stage).await?;
    let none = timeout(Duration::from_millis(100), elsewhere.request()).await;
    ensure!(none.is_err(), "it went where a redirect said");
    stage.end().await
}

/// What the connector does when the server is busy with it for ever.
async fn gives_up(server: &Server, stall: impl AsyncFn(&Server) -> Result<()>) -> Result<()> {
    let started = Instant::now();
    stall(server).await?;
    let took = started.elapsed();
    println!("given up after {took:?}");
    ensure!(took < HANDSHAKE * 5, "{took:?}");
    Ok(())
}

pub(crate) async fn answers_that_crawl(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let server = stage.server()?;
    // Nothing in TLS; and a head by the byte.
    gives_up(server, async |server| {
        let silent = server.tcp().await?;
        let mut next = server.tcp().await?;
        drop(silent);
        tokio::io::AsyncWriteExt::shutdown(&mut next).await?;
        Ok(())
    })
    .await?;
    gives_up(server, async |server| {
        let mut connection = server.handshake().await?;
        for byte in ACCEPTED.bytes().cycle() {
            if connection.send([byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
    .await?;
    it_comes_back(&stage).await?;
    stage.end().await
}

pub(crate) async fn answers_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let endless: &[(&str, &str)] = &[
        ("HTTP/1.1 101 Switching Protocols\r\n", "x: y\r\n"),
        ("HTTP/1.1 101 Switching Protocols\r\nx: ", "y"),
        ("HTTP/1.1 101 ", "x"),
        ("", "\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        (
            "HTTP/1.1 429 Busy\r\nculvert-answer: busy\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\nx\r\n",
        ),
        (
            "HTTP/1.1 503 Draining\r\nculvert-answer: draining\r\nContent-Length: 99999999999\r\n\r\n",
            "{\"message\":",
        ),
    ];
    for (begin, more) in endless {
        let mut connection = stage.server()?.answer(begin).await?;
        let more = more.repeat(64 * 1024 / more.len());
        let mut sent = 0;
        while sent < amount(64, 1024) * MIB {
            match timeout(SOON, connection.send(&more))
                .await
                .context("it neither reads nor ends")?
            {
                Ok(()) => sent += 64 * 1024,
                Err(_) => break,
            }
        }
        println!(
            "{:?}: given up after {} KiB",
            &more[..6.min(more.len())],
            sent / 1024
        );
        stage.connector_lives().await?;
    }
    it_comes_back(&stage).await?;
    stage.end().await
}

pub(crate) async fn refusals_that_last(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    let waits = [
        "0",
        "-1",
        "1.5",
        "soon",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "600",
        "18446744073709551615",
        "18446744073709551616",
    ];
    for after in waits {
        let busy = format!(
            "HTTP/1.1 429 Busy\r\nculvert-answer: busy\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"
        );
        let waits = |stage: &Stage| {
            let lines = stage.chain.client.log_lines();
            let later = |line: &serde_json::Value| {
                line["error"]
                    .as_str()
                    .is_some_and(|error| error.contains("come back later"))
            };
            let waits = lines.iter().filter(|line| later(line));
            waits
                .filter_map(|line| line["next_try_ms"].as_u64())
                .collect::<Vec<_>>()
        };
        let before = waits(&stage).len();
        drop(stage.server()?.answer(busy).await.context(after)?);
        let told = until("the wait to be told", SOON, || async {
            Ok(waits(&stage).get(before).copied())
        })
        .await
        .context(after)?;
        println!("Retry-After: {after}: {told} ms");
        ensure!(told <= LONGEST_ASKED_MS, "{after}: {told} ms");
        if told > 1000 {
            // Nobody waits for that here.
            stage.chain.restart_client().await?;
        }
    }
    it_comes_back(&stage).await?;
    stage.end().await
}

/// A refusal for good ends the connector, which shows the server's words to a
/// person: not so many, and none that move a terminal's cursor.
pub(crate) async fn words_of_a_refusal(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    let words =
        "\\u001b[2J\\u001b]0;forged\\u0007\\r\\nforged line\\n".to_owned() + &"x".repeat(10_000);
    let body = format!("{{\"message\":\"{words}\"}}");
    for (status, word) in [
        ("400 Bad Request", "version"),
        ("403 Forbidden", "subdomain"),
        ("401 Unauthorized", "token"),
    ] {
        let refusal = format!(
            "HTTP/1.1 {status}\r\nculvert-answer: {word}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _connection = stage.server()?.answer(refusal).await?;
        let code = stage.chain.client.ended(SOON).await?;
        ensure!(code == Some(1), "{word}: {code:?}");
        if word != "token" {
            stage.chain.restart_client().await?;
        }
    }
    let log = std::fs::read_to_string(stage.chain.client.log())?;
    ensure!(
        log.contains("refuses this connector"),
        "it does not say why"
    );
    ensure!(
        !log.contains(['\u{1b}', '\u{7}', '\r']),
        "it writes what moves a cursor"
    );
    ensure!(
        !log.lines().any(|line| line.starts_with("forged line")),
        "it writes forged lines"
    );
    ensure!(!log.contains(&"x".repeat(2000)), "it repeats all of it");
    stage.chain.restart_client().await?;
    it_comes_back(&stage).await?;
    stage.end().await
}
