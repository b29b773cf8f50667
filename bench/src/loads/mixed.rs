//! Small requests while downloads fill the tunnel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};

use super::latency::{LATENCIES, values};
use super::{Case, Measure, Stage, bulk, connections};
use crate::generator::closed_loop::Keeps;
use crate::generator::constant_rate::run as run_paced;
use crate::generator::{Connection, Entry};
use crate::lane::Lane;
use crate::origin::{BULK, SMALL};
use crate::results::Report;

const DOWNLOADS: usize = 2;
const CONNECTIONS: usize = 8;
/// Requests a second.
const RATE: f64 = 200.0;

/// Downloads on a thread of their own: they are not to hold up the callers.
struct Downloads {
    got: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
    _lane: Lane,
}

impl Downloads {
    async fn start(entry: &Entry) -> Result<Self> {
        let (got, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (entry, count, fault) = (entry.clone(), got.clone(), failed.clone());
        let (lane, ()) = Lane::start("downloads", move |spawner| async move {
            for _ in 0..DOWNLOADS {
                let (entry, count, fault) = (entry.clone(), count.clone(), fault.clone());
                spawner.spawn(async move {
                    // It goes on until it is ended, so that its end is a fault.
                    drop(download(&entry, &count).await);
                    fault.store(true, Ordering::Relaxed);
                });
            }
            Ok(())
        })
        .await?;
        Ok(Self {
            got,
            failed,
            _lane: lane,
        })
    }
}

async fn download(entry: &Entry, got: &AtomicU64) -> Result<()> {
    let mut connection = Connection::for_bulk(entry).await?;
    let request = entry.get(BULK);
    loop {
        connection.send(&request).await?;
        let take = |piece: &[u8]| {
            got.fetch_add(piece.len() as u64, Ordering::Relaxed);
        };
        connection.answer(take).await?;
    }
}

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let cases = stage.cases().await?;
    let measures: Vec<Measure> = [&LATENCIES[..], &[bulk::RATE]].concat();
    let title = format!(
        "{RATE} requests/s on {} beside {DOWNLOADS} downloads",
        connections(CONNECTIONS)
    );
    let measure = async |case: &Case<'_>| {
        let callers = Keeps::connect(&case.entry, SMALL, CONNECTIONS).await?;
        let downloads = Downloads::start(&case.entry).await?;
        let mut begun = None;
        let paced = run_paced(callers, RATE, stage.effort.times, || {
            begun = Some((downloads.got.load(Ordering::Relaxed), Instant::now()));
            Ok(())
        })
        .await?;
        let failed = downloads.failed.load(Ordering::Relaxed);
        ensure!(!failed, "a download was cut");
        let rate = begun.map_or(f64::NAN, |(before, begun)| {
            let got = downloads.got.load(Ordering::Relaxed) - before;
            got as f64 / 1e6 / begun.elapsed().as_secs_f64()
        });
        anyhow::Ok([&values(&paced)[..], &[rate]].concat())
    };
    stage
        .table(report, &title, &measures, &cases, measure)
        .await;
    Ok(())
}
