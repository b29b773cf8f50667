//! Beyond the budget the longest blocked stream goes, and only it.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use h2::{Reason, RecvStream};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::wait::until;
use tokio::time::timeout;
use tunnel_protocol::limits::STREAM_WINDOW;

use crate::caller::{Caller, send, text};
use crate::stage::{Stage, tells};

/// Of a stream that was not cut; more than all windows on its way hold.
const PAST_ALL_WINDOWS: usize = 4 * STREAM_WINDOW as usize;

async fn reads_on(body: &mut RecvStream) -> Result<()> {
    let mut read = 0;
    while read < PAST_ALL_WINDOWS {
        let data = timeout(SOON, body.data())
            .await
            .context("it stands still")?;
        let data = data.context("it has ended")??;
        body.flow_control().release_capacity(data.len())?;
        read += data.len();
    }
    Ok(())
}

async fn is_cut(body: &mut RecvStream) -> Result<()> {
    while let Some(data) = timeout(SOON, body.data()).await.context("no end")? {
        match data {
            Ok(data) => body.flow_control().release_capacity(data.len())?,
            Err(error) if error.reason() == Some(Reason::INTERNAL_ERROR) => return Ok(()),
            Err(error) => bail!("cut with {error}"),
        }
    }
    bail!("it looks whole")
}

/// Two answers have room on one link.
pub(crate) async fn of_answers_the_longest_blocked_is_cut(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set_with(&environment, &["--stalled-mib", "16"], &[]).await?;
    let mut caller = Caller::connect(&stage.chain).await?;
    let mut answers = Vec::new();
    for stalled in 1..=2 {
        let mut other = Caller::connect(&stage.chain).await?;
        let answer = other.get("/stream").await?;
        let count = f64::from(stalled);
        tells(&stage.chain.server, "tunnel_server_stalled_streams", count).await?;
        answers.push((other, answer.into_body()));
    }
    ensure!(stage.stub.seen.open() == 2);
    let mut third = Caller::connect(&stage.chain).await?;
    let mut last = third.get("/stream").await?.into_body();
    let cut = "tunnel_server_stalled_streams_cut_total";
    tells(&stage.chain.server, cut, 1.0).await?;
    // What it held is given back though its caller still does not read.
    until("the end of one at the upstream", SOON, || async {
        Ok((stage.stub.seen.open() == 2).then_some(()))
    })
    .await?;
    let line = |line: &serde_json::Value| {
        let reason = line["reason"].as_str().unwrap_or_default();
        line["event"] == "request" && reason.contains("stand still")
    };
    ensure!(stage.chain.server.log_lines().iter().any(line), "no record");
    caller.is_served().await?;
    is_cut(&mut answers[0].1).await?;
    reads_on(&mut answers[1].1).await?;
    reads_on(&mut last).await?;
    tells(&stage.chain.server, cut, 1.0).await?;
    drop((answers, third, last));
    stage.strike().await
}

/// Two uploads have room in tunnel-client, and many in the server.
pub(crate) async fn of_uploads_the_longest_blocked_is_refused(
    environment: Arc<Environment>,
) -> Result<()> {
    for (server, client, cuts) in [
        ("512", "4", "tunnel_client"),
        // Half of it is one link's.
        ("16", "512", "tunnel_server"),
    ] {
        let stage = Stage::set_with(
            &environment,
            &["--stalled-mib", server],
            &["--stalled-mib", client],
        )
        .await?;
        let process = match cuts {
            "tunnel_client" => &stage.chain.client,
            _ => &stage.chain.server,
        };
        let mut uploads = Vec::new();
        let mut sending = tokio::task::JoinSet::new();
        for stalled in 1..=3 {
            let mut caller = Caller::connect(&stage.chain).await?;
            let (answer, mut body) = caller.post("/sink").await?;
            sending.spawn(async move { send(&mut body, u64::MAX).await });
            if stalled < 3 {
                let count = f64::from(stalled);
                tells(process, &format!("{cuts}_stalled_streams"), count).await?;
            }
            uploads.push((caller, answer));
        }
        let (_first, answer) = uploads.remove(0);
        let answer = timeout(SOON, answer).await.context("it goes on")??;
        ensure!(answer.status() == 503, "{}", answer.status());
        ensure!(answer.headers()["culvert-error"] == "overloaded");
        // Part of it may have been done, so nobody is told to do it again.
        ensure!(!answer.headers().contains_key("retry-after"));
        let message = text(answer.into_body()).await?;
        ensure!(message.contains("stand still"), "{message}");
        tells(process, &format!("{cuts}_stalled_streams_cut_total"), 1.0).await?;
        stage.stub.seen.read_on.cancel();
        until("the end of one at the upstream", SOON, || async {
            Ok((stage.stub.seen.open() == 2).then_some(()))
        })
        .await?;
        for (caller, _) in &mut uploads {
            caller.is_served().await?;
        }
        tells(process, &format!("{cuts}_stalled_streams_cut_total"), 1.0).await?;
        drop((uploads, sending));
        stage.strike().await?;
    }
    Ok(())
}

/// As long as twice the budget is blocked, and until that is cut.
pub(crate) async fn new_requests_are_refused_for_a_while(
    environment: Arc<Environment>,
) -> Result<()> {
    for (server, client, of) in [("1", "512", "tunnel-server"), ("512", "1", "tunnel-client")] {
        let stage = Stage::set_with(
            &environment,
            &["--stalled-mib", server],
            &["--stalled-mib", client],
        )
        .await?;
        let mut caller = Caller::connect(&stage.chain).await?;
        caller.is_served().await?;
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let mut other = Caller::connect(&stage.chain).await?;
            let (answer, mut body) = other.post("/sink").await?;
            sending.spawn(async move {
                let _held = (other, answer);
                send(&mut body, u64::MAX).await
            });
        }
        let started = tokio::time::Instant::now();
        let refused = loop {
            let answer = caller.get("/").await?;
            if answer.status() != 200 {
                break answer;
            }
            text(answer.into_body()).await?;
            ensure!(started.elapsed() < SOON, "{of} refuses nothing");
        };
        ensure!(refused.status() == 503, "{}", refused.status());
        ensure!(refused.headers()["culvert-error"] == "overloaded");
        ensure!(refused.headers()["retry-after"] == "1");
        let message = text(refused.into_body()).await?;
        ensure!(message.contains(of), "{message}");
        // They are cut, and it is over.
        let served = async {
            loop {
                let answer = caller.get("/").await?;
                let status = answer.status();
                text(answer.into_body()).await?;
                if status == 200 {
                    return anyhow::Ok(());
                }
            }
        };
        timeout(SOON, served).await.context("for ever")??;
        drop(sending);
        stage.strike().await?;
    }
    Ok(())
}
