//! Resident memory: idle, with quiet watches, and after them.

use std::time::Duration;

use anyhow::Result;

use super::{Bars, Kind, Proxy, Stage, Upstream};
use crate::lean::caller::{Callers, watch};
use crate::report::Table;
use crate::rounds::{interleaved, pairs};
use crate::stats::Spread;

/// Open at once.
const WATCHES: [usize; 2] = [500, 1000];
/// Bytes: what the bar is, and what is aimed at.
const IDLE: (f64, f64) = (8e6, 5e6);
const WATCH: (f64, f64) = (17e3, 10e3);
/// Until memory is read: what starts or ends something goes on beside it.
const SETTLES: Duration = Duration::from_secs(1);

/// Bytes, but for the counts.
struct Sample {
    started: f64,
    /// After a few requests.
    used: f64,
    /// With each of [`WATCHES`] open, for one of them.
    each: [f64; WATCHES.len()],
    /// After the last of them.
    ended: f64,
    /// Connections to the upstream, for each of [`WATCHES`].
    connections: [f64; WATCHES.len()],
    threads: f64,
}

pub async fn memory(stage: &Stage, rounds: usize, bars: &mut Bars) -> Result<()> {
    println!("### Resident memory, TLS upstream\n");
    let kinds: Vec<&Kind> = stage.kinds().collect();
    let samples = interleaved(rounds, &kinds, async |kind| stage.sample(kind).await).await?;
    println!("{}", table(&kinds, &samples));
    if let [kubectl, ours, ..] = samples.as_slice() {
        let megabytes = |value: f64| format!("{:.1} MB", value * 1e-6);
        let used = pairs(kubectl, ours, |sample: &Sample| sample.used);
        bars.below("resident, idle".into(), used, megabytes, IDLE.0, IDLE.1);
        for (at, watches) in WATCHES.iter().enumerate() {
            let each = pairs(kubectl, ours, |sample: &Sample| sample.each[at]);
            let name = format!("resident, per idle watch, of {watches}");
            let kilobytes = |value: f64| format!("{:.1} kB", value * 1e-3);
            bars.below(name, each, kilobytes, WATCH.0, WATCH.1);
        }
    }
    Ok(())
}

impl Stage {
    /// Of a new process.
    async fn sample(&self, kind: &Kind) -> Result<Sample> {
        let proxy = self.start(kind, Upstream::Tls).await?;
        let started = settled(&proxy).await?;
        // Each has one answer; their connections then end.
        drop(Callers::connect(proxy.address, 4).await?);
        let used = settled(&proxy).await?;
        let (mut each, mut connections) = ([0.0; WATCHES.len()], [0.0; WATCHES.len()]);
        let mut watches = Vec::new();
        let before = self.tls.accepted();
        for (at, count) in WATCHES.into_iter().enumerate() {
            while watches.len() < count {
                watches.push(watch(proxy.address).await?);
            }
            each[at] = (settled(&proxy).await? - used) / count as f64;
            connections[at] = (self.tls.accepted() - before) as f64;
        }
        drop(watches);
        Ok(Sample {
            started,
            used,
            each,
            ended: settled(&proxy).await?,
            connections,
            threads: proxy.threads()? as f64,
        })
    }
}

async fn settled(proxy: &Proxy) -> Result<f64> {
    tokio::time::sleep(SETTLES).await;
    Ok(proxy.resident()? as f64)
}

fn table(kinds: &[&Kind], samples: &[Vec<Sample>]) -> Table {
    let mut columns = vec![String::new(), "MB at the start".into(), "used".into()];
    for watches in WATCHES {
        columns.push(format!("kB for each of {watches} watches"));
        columns.push("connections upstream".into());
    }
    columns.extend(["MB after them", "threads"].map(str::to_owned));
    let mut table = Table::new(columns);
    for (kind, own) in kinds.iter().zip(samples) {
        let show = |value: &dyn Fn(&Sample) -> f64, unit: f64| {
            Spread::of(own.iter().map(value)).show(|value| format!("{:.1}", value / unit))
        };
        let median = |value: &dyn Fn(&Sample) -> f64| {
            format!("{:.0}", Spread::of(own.iter().map(value)).median)
        };
        let mut row = vec![kind.name.clone()];
        row.push(show(&|sample| sample.started, 1e6));
        row.push(show(&|sample| sample.used, 1e6));
        for at in 0..WATCHES.len() {
            row.push(show(&|sample| sample.each[at], 1e3));
            row.push(median(&|sample| sample.connections[at]));
        }
        row.push(show(&|sample| sample.ended, 1e6));
        row.push(median(&|sample| sample.threads));
        table.row(row);
    }
    table
}
