//! The control stream, which the connector answers with lines of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_frames::{data, flag, headers, reset};
use integration::wait::until;

use crate::connector::{CONTROL, Connector, gone};
use crate::stage::Stage;

const MIB: u32 = 1 << 20;

/// 64 MiB, or 1 GB, without a line feed.
pub(crate) async fn control_lines_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for filler in [b'x', b'[', b'{', b' ', 0] {
        let mut connector = Connector::settled(&stage).await?;
        let chunk = data(CONTROL, flag::NONE, &vec![filler; 16 * 1024]);
        let flooding = async {
            let mut sent = 0;
            while sent < amount(64, 1024) * MIB {
                if connector.writer.send(&chunk).await.is_err() {
                    break;
                }
                sent += 16 * 1024;
            }
            Ok(sent)
        };
        let sent = stage.meanwhile(flooding).await?;
        println!("cut after at most {} KiB", sent / 1024);
        connector.cut().await?;
        gone(&stage).await?;
    }
    stage.end().await
}

/// More than it announced: h2 resets the stream and would go on with the connection,
/// as it does when a stream's window is overrun.
pub(crate) async fn control_streams_that_lie(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connector = Connector::link(&stage, &[]).await?;
    ensure!(connector.request().await? == CONTROL);
    let fields = [(":status", "200"), ("content-length", "5")];
    let accepted = headers(CONTROL, flag::NONE, &fields);
    let more = data(CONTROL, flag::NONE, b"{\"type\":\"news\"}\n");
    connector.writer.send([accepted, more].concat()).await?;
    connector.cut().await?;
    gone(&stage).await?;
    stage.others_are_served().await?;
    stage.end().await
}

/// Says it once the link is there; the server closes the link for it.
async fn is_cut_for(stage: &Stage, words: &[u8]) -> Result<()> {
    let mut connector = Connector::settled(stage).await?;
    drop(connector.writer.send(words).await);
    connector.cut().await?;
    gone(stage).await?;
    stage.others_are_served().await
}

pub(crate) async fn no_messages(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let deep = [&b"[".repeat(60_000)[..], b"\n"].concat();
    let words: &[&[u8]] = &[
        b"\n",
        b"hello\n",
        b"[]\n",
        b"{}\n",
        b"{\"type\":7}\n",
        b"{\"type\":\"drain\"}\n",
        b"{\"type\":\"drain\",\"deadline_ms\":-1}\n",
        b"{\"type\":\"drain\",\"deadline_ms\":1e400}\n",
        b"{\"type\":\"drain\",\"deadline_ms\":18446744073709551616}\n",
        b"{\"type\":\"drain\",\"deadline_ms\":1,\"deadline_ms\":2}\n",
        b"\xff\xfe\n",
        &deep,
    ];
    for words in words {
        let shown = String::from_utf8_lossy(&words[..words.len().min(60)]).into_owned();
        is_cut_for(&stage, &data(CONTROL, flag::NONE, words))
            .await
            .context(shown)?;
    }
    stage.end().await
}

/// Ten thousand times the same: the link takes no more requests, and that is all.
pub(crate) async fn drains_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connector = Connector::settled(&stage).await?;
    let lines = b"{\"type\":\"drain\",\"deadline_ms\":18446744073709551615}\n".repeat(100);
    let words = data(CONTROL, flag::NONE, &lines[..]).repeat(100);
    let reading = async {
        connector.reader.to_the_end().await;
        anyhow::bail!("the server has cut a link that only drains")
    };
    let flooding = async {
        connector.writer.send(&words).await?;
        until("evil to be unreachable", SOON, || async {
            let answer = stage.get().await?;
            answer.must_be_in_order()?;
            Ok((answer.status == 503).then_some(()))
        })
        .await
    };
    let both = async {
        tokio::select! {
            flooded = flooding => flooded,
            cut = reading => cut,
        }
    };
    stage.meanwhile(both).await?;
    let told = stage.chain.server.log_lines();
    let told = told
        .iter()
        .filter(|line| line["message"] == "the client drains")
        .count();
    ensure!(told == 1, "a stranger fills the log: {told} lines");
    drop(connector);
    gone(&stage).await?;
    stage.end().await
}

pub(crate) async fn control_streams_that_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let ends: &[(&str, Vec<u8>)] = &[
        (
            "closed at once",
            headers(CONTROL, flag::END_STREAM, &[(":status", "200")]),
        ),
        (
            "refused",
            headers(CONTROL, flag::END_STREAM, &[(":status", "503")]),
        ),
        ("reset", reset(CONTROL, 8)),
        ("refused as a stream", reset(CONTROL, 7)),
        ("reset as if all were well", reset(CONTROL, 0)),
    ];
    for (name, end) in ends {
        let mut connector = Connector::link(&stage, &[]).await?;
        ensure!(connector.request().await? == CONTROL);
        connector.writer.send(end).await?;
        stage.chain.links(2).await.context(*name)?;
        let answer = tokio::select! {
            answer = stage.get() => answer?,
            ended = connector.behave() => { ended?; stage.get().await? },
        };
        answer.must_be_in_order().context(*name)?;
        stage.others_are_served().await?;
        drop(connector);
        gone(&stage).await?;
    }
    stage.end().await
}

/// The longest line there is, a byte a frame: what it costs the server is in
/// proportion to its length.
pub(crate) async fn one_byte_at_a_time(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connector = Connector::settled(&stage).await?;
    let mut line = b"{\"type\":\"news\",\"text\":\"".to_vec();
    line.resize(60_000, b'x');
    line.extend(b"\"}\n");
    let bytes: Vec<u8> = line
        .iter()
        .flat_map(|byte| data(CONTROL, flag::NONE, &[*byte]))
        .collect();
    let before = stage.chain.server.processor_time()?;
    let started = Instant::now();
    let sending = async {
        for part in bytes.chunks(10 * 1000) {
            connector.writer.send(part).await?;
        }
        let answer = tokio::select! {
            answer = stage.get() => answer?,
            ended = connector.behave() => { ended?; anyhow::bail!("the link has ended") },
        };
        answer.must_be_evils_own()
    };
    stage.meanwhile(sending).await?;
    let spent = stage.chain.server.processor_time()? - before;
    println!(
        "a line of 60,000 bytes took {spent:?} of the server's time, {:?}",
        started.elapsed()
    );
    // It was 0.4 s; were each byte looked at again for each that follows, it would
    // be a minute.
    ensure!(spent < Duration::from_secs(5), "{spent:?}");
    drop(connector);
    gone(&stage).await?;
    stage.end().await
}
