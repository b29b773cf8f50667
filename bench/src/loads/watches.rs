//! Many watches that each have something to say: when it arrives, and what it costs.

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::measure::{CPU_OF_REQUESTS, MEMORY};
use super::{Case, Effort, Measure, Stage};
use crate::generator::connection::Head;
use crate::generator::{Connection, Entry, Latencies};
use crate::lean::event::{Events, INTERVAL};
use crate::lean::origin::EVENTS;
use crate::results::Report;

const WATCHES: usize = 500;
const MEASURES: [Measure; 4] = [
    Measure::more("events that arrived", "%"),
    Measure::less("p50", "ms").with_chart(),
    Measure::less("p99", "ms").with_chart(),
    Measure::less("longest", "ms"),
];

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let cases = stage.cases().await?;
    let measures = [&MEASURES[..], &CPU_OF_REQUESTS, &MEMORY].concat();
    let each = 1000 / INTERVAL.as_millis();
    let title = format!("{WATCHES} watches, {each} events/s each");
    let measure = async |case: &Case<'_>| watch(case, stage.effort).await;
    stage
        .table(report, &title, &measures, &cases, measure)
        .await;
    Ok(())
}

/// A value for each of the measures above.
async fn watch(case: &Case<'_>, effort: Effort) -> Result<Vec<f64>> {
    let mut open = Vec::new();
    for number in 0..WATCHES {
        let watch = Watch::open(&case.entry).await;
        open.push(watch.map_err(|error| error.context(format!("{number} watches are open")))?);
    }
    let from = Instant::now() + effort.times.warm_up;
    let end = from + effort.times.time;
    let mut reading = JoinSet::new();
    for watch in open {
        reading.spawn(watch.read(from, end));
    }
    tokio::time::sleep_until(from.into()).await;
    let before = case.spent()?;
    tokio::time::sleep_until(end.into()).await;
    let (spent, memory) = (case.spent()?, case.memory()?);
    let mut all = Latencies::new()?;
    while let Some(read) = reading.join_next().await {
        all.join(&read??)?;
    }
    let sent = WATCHES as f64 * effort.times.time.as_secs_f64() / INTERVAL.as_secs_f64();
    let own = [
        all.count() as f64 / sent * 100.0,
        all.within(0.5),
        all.within(0.99),
        all.longest(),
    ];
    let cpu = spent.since(before, all.count() as f64 / 1000.0);
    Ok([&own[..], &cpu, &memory].concat())
}

struct Watch {
    connection: Connection,
    head: Head,
}

impl Watch {
    async fn open(entry: &Entry) -> Result<Self> {
        let (connection, head) = Connection::streaming(entry, EVENTS).await?;
        Ok(Self { connection, head })
    }

    /// How long those that arrive between these moments were under way.
    async fn read(mut self, from: Instant, end: Instant) -> Result<Latencies> {
        let (mut events, mut latencies) = (Events::default(), Latencies::new()?);
        loop {
            let mut faults = Ok(());
            let take = |piece: &[u8]| {
                let read = events.read(piece, |under_way| {
                    if (from..end).contains(&Instant::now()) {
                        latencies.add(under_way);
                    }
                });
                if read.is_err() {
                    faults = read;
                }
            };
            let next = self.connection.next(&mut self.head.body, take);
            let Ok(more) = tokio::time::timeout_at(end.into(), next).await else {
                return Ok(latencies);
            };
            ensure!(more?, "a watch ended");
            faults?;
        }
    }
}
