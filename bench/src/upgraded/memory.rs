//! Memory of idle upgraded connections, each way in a process of its own.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::peer::echo;
use super::{Carrier, Peer, Route};
use crate::certificate::Certificate;
use crate::cpu;

/// How many are open.
pub const IDLE_STREAMS: u64 = 1000;
/// Sockets of one of them, all ends being in one process, and some more.
const FILES: u64 = 4 * IDLE_STREAMS + 200;

/// Bytes of resident memory for one idle stream, all ends together. Runs this
/// program again.
pub fn of_idle_streams_in_a_process(carrier: Carrier) -> Result<f64> {
    use clap::ValueEnum;
    let value = carrier.to_possible_value().context("no name")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--memory-of", value.get_name()])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// In this process.
pub async fn of_idle_streams(carrier: Carrier) -> Result<f64> {
    let limit = std::fs::read_to_string("/proc/self/limits")?;
    let files: Option<u64> = limit.lines().find_map(|line| {
        let rest = line.strip_prefix("Max open files")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    ensure!(
        files.is_none_or(|files| files >= FILES),
        "needs {FILES} open files: ulimit -n {FILES}"
    );
    let folder = tempfile::tempdir()?;
    let certificate = Certificate::make(folder.path())?;
    let peer = Peer::start().await?;
    let route = Route::start(carrier, peer.address, &certificate).await?;
    let _first = echo(route.entry).await?;
    let before = cpu::resident(std::process::id())?;
    let mut streams = Vec::new();
    for _ in 0..IDLE_STREAMS {
        streams.push(echo(route.entry).await?);
    }
    let after = cpu::resident(std::process::id())?;
    Ok(after.saturating_sub(before) as f64 / IDLE_STREAMS as f64)
}
