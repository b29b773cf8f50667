//! Lines that wait for a disk with room.

use std::sync::Arc;

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use integration::environment::Environment;

use crate::broken_sink::{FULL, call, metric, point_at, start};

const REQUESTS: usize = 300;
const AT_ONCE: usize = 8;
/// Of a target, near the longest that is taken.
const BYTES: usize = 60_000;
/// What all of them may make the server grow by, bytes: some KiB each, which is
/// what a line shows at most, and what the connections have.
const GROWTH: u64 = 8 * 1024 * 1024;

pub(crate) async fn long_targets_are_held_short(environment: Arc<Environment>) -> Result<()> {
    let chain = start(&environment, &["--audit-failure", "pass"], |log| {
        point_at(log, FULL)
    })
    .await?;
    let path = "/long".repeat(BYTES / 5);
    let ask = async || {
        ensure!(call(&chain, &path).await? == "no-link");
        Ok(())
    };
    let ask_often = async |times: usize| {
        stream::iter(0..times)
            .map(|_| ask())
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    };
    // What the process takes for as many at once is not what it holds of them.
    ask_often(AT_ONCE * 4).await?;
    let before = chain.server.resident_memory()?;
    ask_often(REQUESTS).await?;
    ensure!(metric(&chain, "failures_total").await? >= 1.0);
    ensure!(metric(&chain, "unrecorded_total").await? == 0.0);
    let grown = chain.server.resident_memory()?.saturating_sub(before);
    println!("the server grew by {} KiB", grown / 1024);
    ensure!(grown < GROWTH, "the server grew by {grown} bytes");
    chain.stop().await
}
