//! The load goes on for long: memory, open files and tasks stay as they are, and nothing fails.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::chain::Chain;
use integration::endure::amount;
use integration::environment::Environment;
use tokio::time::{MissedTickBehavior, interval};
use tunnel_protocol::limits::STREAM_WINDOW;

use crate::leftovers::{Leftovers, files, tasks};
use crate::load::Load;
use crate::stage::Stage;

/// Looks at the processes; a sixth of them before they count.
const LOOKS: usize = 60;
const WARM: usize = LOOKS / 6;
/// A process' memory in the end, beside what it was: allocators are no clocks, and the
/// two bulk callers' windows may be full.
const GROWTH: f64 = 1.1;
const SLACK: u64 = 2 * STREAM_WINDOW as u64 + (4 << 20);
/// Files that may be open in the end beyond the most that were: connections come and go.
const FILES: usize = 8;
/// As many tasks: each stream has some.
const TASKS: f64 = 40.0;

/// What one look sees of a process.
#[derive(Clone, Copy, Debug)]
struct Seen {
    memory: u64,
    files: usize,
    tasks: f64,
}

pub(crate) async fn all_is_flat_in_the_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let chain = &stage.chain;
    let lasts = Duration::from_secs(amount(20, 30 * 60).into());
    let load = Load::start(chain)?;
    let mut looks = interval(lasts / u32::try_from(LOOKS)?);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Vec::new();
    for _ in 0..LOOKS {
        looks.tick().await;
        seen.push(look(chain).await?);
    }
    load.end().await?.judge(&[])?;
    let counted = &seen[WARM..];
    let (begin, end) = counted.split_at(counted.len() / 2);
    for (at, name) in ["tunnel-server", "tunnel-client", "proxy-sidecar"]
        .iter()
        .enumerate()
    {
        let (before, after) = (most(begin, at)?, most(end, at)?);
        println!(
            "{name}: at most {} KiB, {} files and {} tasks, then {} KiB, {} files and {} tasks",
            before.memory >> 10,
            before.files,
            before.tasks,
            after.memory >> 10,
            after.files,
            after.tasks
        );
        let enough = (before.memory as f64 * GROWTH) as u64 + SLACK;
        ensure!(
            after.memory <= enough,
            "{name} grows: {before:?}, {after:?}"
        );
        ensure!(
            after.files <= before.files + FILES,
            "{name}: {before:?}, {after:?}"
        );
        ensure!(
            after.tasks <= before.tasks + TASKS,
            "{name}: {before:?}, {after:?}"
        );
    }
    Leftovers::none(chain).await?;
    stage.chain.stop().await
}

async fn look(chain: &Chain) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for service in chain.services() {
        seen.push(Seen {
            memory: service.resident_memory()?,
            files: files(service)?,
            tasks: tasks(service).await?,
        });
    }
    Ok(seen)
}

/// The most that was seen of the process at this place.
fn most(looks: &[Vec<Seen>], at: usize) -> Result<Seen> {
    let seen = || looks.iter().filter_map(|look| look.get(at));
    Ok(Seen {
        memory: seen().map(|seen| seen.memory).max().context("no look")?,
        files: seen().map(|seen| seen.files).max().context("no look")?,
        tasks: seen().map(|seen| seen.tasks).fold(0.0, f64::max),
    })
}
