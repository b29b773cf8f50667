//! `kubectl exec`, over WebSocket and over SPDY.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;

use crate::caller::{Caller, Streams};
use crate::echo::Echo;
use crate::stage::{Set, Stage};
use crate::terminal::Terminal;
use crate::workload::Workload;

const BULK: u64 = 100 << 20;

pub(crate) async fn exec_passes_input_output_and_exit_codes(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::idle(set, "exec").await?;
    for streams in Streams::BOTH {
        let script = "cat; echo on the side >&2; exit 7";
        let mut kubectl = caller
            .command_over(streams, &exec(&["-i", "shell", "--", "sh", "-c", script]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = kubectl.stdin.take().context("stdin")?;
        stdin.write_all(b"what goes in comes out").await?;
        drop(stdin);
        let output = kubectl.wait_with_output().await?;
        ensure!(
            output.stdout == b"what goes in comes out",
            "{streams:?}: {output:?}"
        );
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(
            complaints.contains("on the side"),
            "{streams:?}: {output:?}"
        );
        ensure!(output.status.code() == Some(7), "{streams:?}: {output:?}");
    }
    shell.remove(set).await
}

pub(crate) async fn exec_carries_100_mb_both_ways(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::idle(set, "exec-bulk").await?;
    for streams in Streams::BOTH {
        carry(set, &caller, &shell, streams)
            .await
            .with_context(|| format!("{streams:?}"))?;
    }
    shell.remove(set).await
}

/// There and back, at the same time.
async fn carry(set: &Set, caller: &Caller, shell: &Workload, streams: Streams) -> Result<()> {
    let word = format!("{streams:?}");
    let echo = Echo::start(caller, shell, streams, &word).await?;
    let started = std::time::Instant::now();
    let carried = echo.carry(BULK).await?;
    let rate = BULK as f64 / f64::from(1 << 20) / started.elapsed().as_secs_f64();
    eprintln!("exec over {streams:?}: {rate:.0} MiB/s there and back");
    shell.say(set, &word).await?;
    carried.end().await
}

pub(crate) async fn exec_with_a_terminal_follows_its_size(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::idle(set, "exec-terminal").await?;
    for streams in Streams::BOTH {
        let arguments = [
            "exec",
            "--namespace=exec-terminal",
            "-it",
            "shell",
            "--",
            "sh",
        ];
        let mut terminal = Terminal::start(caller.command_over(streams, &arguments), (40, 100))?;
        terminal.type_line("stty size").await?;
        terminal.shows("40 100").await?;
        terminal.resize((51, 123))?;
        // The new size may come after the next line that is typed.
        terminal
            .type_line("until [ \"$(stty size)\" = '51 123' ]; do :; done; echo re''sized")
            .await?;
        terminal.shows("resized").await?;
        terminal.type_line("exit 3").await?;
        let status = terminal.ended().await?;
        ensure!(status.code() == Some(3), "{streams:?}: {status}");
    }
    shell.remove(set).await
}

fn exec<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["exec", "--namespace=exec"], arguments].concat()
}
