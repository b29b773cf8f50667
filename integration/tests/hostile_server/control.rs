//! The control stream, on which the server says what it likes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_frames::{data, flag};
use tokio::time::timeout;

use crate::server::{CONTROL, REGISTERED};
use crate::stage::Stage;

const MIB: u32 = 1 << 20;
/// Links that are asked to end and do not: four beside as many as may serve. And the
/// last.
const KEPT: usize = 4 + 4 + 1;

/// As many as the stream's window holds, each nearly of a line's greatest length.
const REGISTRATIONS: usize = 30;

pub(crate) async fn control_lines_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for filler in [b'x', b'[', b' ', 0] {
        let mut link = stage.server()?.link().await?;
        let chunk = data(CONTROL, flag::NONE, &vec![filler; 16 * 1024]);
        let mut sent = 0;
        // The link's window is the largest there is: nothing waits for credit.
        while sent < amount(64, 1024) * MIB && link.writer.send(&chunk).await.is_ok() {
            sent += 16 * 1024;
        }
        println!("cut after at most {} KiB", sent / 1024);
        link.cut().await?;
        stage.connector_lives().await?;
    }
    stage.end().await
}

/// More than it announced: h2 resets the stream and would go on with the connection,
/// as it does when a stream's window is overrun.
pub(crate) async fn control_streams_that_lie(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut link = stage.server()?.bare_link().await?;
    let length = REGISTERED.len().to_string();
    let control = link.open_control_with(&[("content-length", &length)], REGISTERED);
    link.writer.send(control).await?;
    link.works().await?;
    link.writer
        .send(data(CONTROL, flag::NONE, REGISTERED))
        .await?;
    link.cut().await?;
    stage.end().await
}

pub(crate) async fn no_messages(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let deep = [&b"[".repeat(60_000)[..], b"\n"].concat();
    let words: &[&[u8]] = &[
        b"\n",
        b"{}\n",
        b"{\"type\":\"drain\"}\n",
        b"{\"type\":\"drain\",\"reconnect_in_ms\":-1,\"deadline_ms\":0}\n",
        b"{\"type\":\"registered\",\"urls\":7,\"replica\":[]}\n",
        b"\xff\n",
        &deep,
    ];
    for words in words {
        let mut link = stage.server()?.link().await?;
        drop(link.writer.send(data(CONTROL, flag::NONE, words)).await);
        let shown = String::from_utf8_lossy(&words[..words.len().min(60)]).into_owned();
        link.cut().await.context(shown)?;
        stage.connector_lives().await?;
    }
    stage.end().await
}

pub(crate) async fn control_streams_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut link = stage.server()?.link().await?;
    let mut bytes = Vec::new();
    for _ in 0..5000 {
        bytes.extend(link.open_control(b"{\"type\":\"news\"}\n{\"type\":\"n"));
    }
    drop(link.writer.send(bytes).await);
    stage.connector_lives().await?;
    drop(link);
    stage.end().await
}

/// Each link is asked to end as soon as it is there. The connector backs off as
/// from any link that dies young, and holds few of them at once.
pub(crate) async fn drains_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut links = Vec::new();
    let started = Instant::now();
    for _ in 0..20 {
        let drain =
            "{\"type\":\"drain\",\"reconnect_in_ms\":0,\"deadline_ms\":18446744073709551615}\n";
        let mut link = stage.server()?.link().await?;
        link.writer
            .send(data(CONTROL, flag::NONE, drain.repeat(10).as_bytes()))
            .await?;
        links.push(link);
    }
    let took = started.elapsed();
    println!("20 links in {took:?}");
    // Half of what full jitter of 250 ms gives in the middle.
    ensure!(
        took > Duration::from_millis(20 * 125 / 2),
        "it dials without a pause: {took:?}"
    );
    let count = links.len();
    for mut link in links.drain(..count - KEPT) {
        timeout(SOON, link.reader.to_the_end())
            .await
            .context("an old link is kept")?;
    }
    drop(links);
    stage.connector_lives().await?;
    stage.end().await
}

/// What a person is told of is bounded, and is a URL.
pub(crate) async fn registrations_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut link = stage.server()?.link().await?;
    // Its window counts once its settings are acknowledged.
    link.works().await?;
    let urls: Vec<_> = (0..3000)
        .map(|number| format!("\"https://forged-{number}\""))
        .collect();
    let mut bytes = Vec::new();
    for replica in 0..REGISTRATIONS {
        let line = format!(
            "{{\"type\":\"registered\",\"urls\":[{}],\"replica\":\"{replica}\"}}\n",
            urls[replica..].join(",")
        );
        for part in line.as_bytes().chunks(16 * 1024) {
            bytes.extend(data(CONTROL, flag::NONE, part));
        }
    }
    link.writer.send(bytes).await?;
    link.works().await?;
    drop(link);
    let mut link = stage.server()?.bare_link().await?;
    let urls = "\\u001b[2Jforged\\nforged line\",\"javascript:alert(1)\",\"https://good.test/x\",\"https://a b/";
    let words =
        format!("{{\"type\":\"registered\",\"urls\":[\"{urls}\"],\"replica\":\"\\u001b[2J\"}}\n");
    let control = link.open_control(words.as_bytes());
    link.writer.send(control).await?;
    link.works().await?;
    let log = std::fs::read_to_string(stage.chain.client.log())?;
    let told = log
        .lines()
        .filter(|line| line.contains("your url is: https://forged-"))
        .count();
    ensure!(told <= 10, "{told} lines for one link");
    ensure!(
        log.contains("your url is: https://good.test/x"),
        "the good one is left out"
    );
    ensure!(!log.contains('\u{1b}'), "it writes what moves a cursor");
    ensure!(
        !log.contains("javascript"),
        "it shows what is no URL of a server"
    );
    drop(link);
    stage.end().await
}
