//! Over a long way with a bounded rate between client and server; of the direct
//! connection, between callers and origin.

use std::time::Duration;

use anyhow::Result;
use integration::slow_path::Way;

use super::bulk::{self, Direction};
use super::{Case, Effort, Measure, Stage, connections, fresh};
use crate::generator::closed_loop::{Keeps, Times, run as run_loop};
use crate::origin::SMALL;
use crate::results::Report;

const WAY: Way = Way {
    round_trip: Duration::from_millis(100),
    rate: Some(100_000_000),
};
const CONNECTIONS: [usize; 2] = [1, 32];
/// Bytes of a transfer; a quick run has a quarter of it.
const BYTES: u64 = 64 * 1024 * 1024;
/// A connection's first requests go slower, for round trips.
const WARM_UP: Duration = Duration::from_secs(1);

const MEASURES: [Measure; 3] = [
    Measure::less("p50", "ms").with_chart(),
    Measure::less("p99", "ms"),
    Measure::more("requests/s", "requests/s"),
];

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let effort = Effort {
        times: Times {
            warm_up: WARM_UP,
            time: stage.effort.times.time.max(3 * WARM_UP),
        },
        ..stage.effort
    };
    let stage = &Stage { effort, ..*stage };
    let cases = stage.cases_over(Some(WAY)).await?;
    for count in CONNECTIONS {
        let title = format!("{}, {}", way(), connections(count));
        let measure = async |case: &Case<'_>| {
            let callers = Keeps::connect(&case.entry, SMALL, count).await?;
            let looped = run_loop(callers, effort.times, || Ok(())).await?;
            let latencies = &looped.latencies;
            anyhow::Ok(vec![
                latencies.within(0.5),
                latencies.within(0.99),
                looped.per_second(),
            ])
        };
        stage
            .table(report, &title, &MEASURES, &cases, measure)
            .await;
    }
    let title = format!("{}, a new connection for each request", way());
    fresh::table(stage, report, &title, 1, &cases).await;
    let bytes = if effort.quick { BYTES / 4 } else { BYTES };
    for direction in Direction::ALL {
        let title = format!("{}, {} of {} MiB", way(), direction.name(), bytes >> 20);
        bulk::table(stage, report, &title, direction, bytes, &cases).await;
    }
    Ok(())
}

fn way() -> String {
    let rate = WAY.rate.map_or(0, |rate| rate / 1_000_000);
    format!("{} ms and {rate} Mbit/s", WAY.round_trip.as_millis())
}
