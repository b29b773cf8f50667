//! `kubectl logs`: of a container that runs, and of one that has ended.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::wait::until;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::caller::Streams;
use crate::stage::{SOON, Stage};
use crate::workload::Workload;

/// Says a line whenever it is told to, by a file.
const TELLS: &str = "echo first; touch /tmp/up; n=0; while true; do \
     if [ -e /tmp/say ]; then rm /tmp/say; n=$((n+1)); echo line $n; fi; usleep 20000; done";

pub(crate) async fn logs_follow_line_by_line(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::start(set, "logs", TELLS).await?;
    let mut kubectl = caller
        .command(&["logs", "--follow", "--namespace=logs", "shell"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(kubectl.stdout.take().context("stdout")?).lines();
    let mut next = async || {
        timeout(SOON, lines.next_line())
            .await
            .context("no line came")??
            .context("the log has ended")
    };
    ensure!(next().await? == "first");
    // Each line comes when it is said, not when a buffer is full.
    for number in 1..=3 {
        caller
            .kubectl(&[
                "exec",
                "--namespace=logs",
                "shell",
                "--",
                "touch",
                "/tmp/say",
            ])
            .await?;
        let line = next().await?;
        ensure!(line == format!("line {number}"), "{line}");
    }
    shell.remove(set).await
}

pub(crate) async fn logs_of_the_previous_container(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let script = "echo a life; trap 'exit 1' TERM; while true; do sleep 3600 & wait; done";
    let shell = Workload::start(set, "previous", script).await?;
    // Ends with the container it is in, so by a signal.
    let kill = ["exec", "--namespace=previous", "shell", "--", "kill", "1"];
    caller.output(Streams::WebSocket, &kill).await?;
    let previous = until("the restart", SOON, || async {
        let arguments = ["logs", "--previous", "--namespace=previous", "shell"];
        Ok(caller.kubectl(&arguments).await.ok())
    })
    .await?;
    ensure!(previous == "a life\n", "{previous}");
    shell.remove(set).await
}
