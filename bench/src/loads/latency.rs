//! Small requests at a constant rate: how long each takes from the moment that it is due.

use anyhow::Result;

use super::measure::CPU_OF_REQUESTS;
use super::{Case, Measure, Stage, connections};
use crate::generator::closed_loop::Keeps;
use crate::generator::constant_rate::{Paced, run as run_paced};
use crate::origin::SMALL;
use crate::results::Report;

/// Connections, and requests a second on all of them together. The rates are ones that
/// most of the peers carry on two cores: above its own most each latency is only the
/// measurement's length.
pub(super) const LOADS: [(usize, f64); 4] = [(1, 200.0), (8, 500.0), (32, 1000.0), (256, 1000.0)];
const IN_A_QUICK_RUN: [(usize, f64); 2] = [(1, 200.0), (32, 1000.0)];

pub(super) const LATENCIES: [Measure; 7] = [
    Measure::less("p50", "ms").with_chart(),
    Measure::less("p90", "ms"),
    Measure::less("p99", "ms").with_chart(),
    Measure::less("p99.9", "ms"),
    Measure::less("longest", "ms"),
    Measure::more("answered in time", "%"),
    Measure::less("generator's own p99", "ms"),
];

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let cases = stage.cases().await?;
    let loads: &[(usize, f64)] = if stage.effort.quick {
        &IN_A_QUICK_RUN
    } else {
        &LOADS
    };
    tables(stage, report, "Latency", loads, &cases).await;
    Ok(())
}

/// A table for each of the loads.
pub(super) async fn tables(
    stage: &Stage<'_>,
    report: &mut Report,
    title: &str,
    loads: &[(usize, f64)],
    cases: &[Case<'_>],
) {
    let measures = [&LATENCIES[..], &CPU_OF_REQUESTS].concat();
    for (count, rate) in loads {
        let title = format!("{title}, {} at {rate} requests/s", connections(*count));
        let measure = async |case: &Case<'_>| {
            let callers = Keeps::connect(&case.entry, SMALL, *count).await?;
            let mut before = None;
            let paced = run_paced(callers, *rate, stage.effort.times, || {
                before = Some(case.spent()?);
                Ok(())
            })
            .await?;
            let thousands = paced.latencies.count() as f64 / 1000.0;
            let cpu = case.spent()?.since(before.unwrap_or_default(), thousands);
            anyhow::Ok([&values(&paced)[..], &cpu].concat())
        };
        stage.table(report, &title, &measures, cases, measure).await;
    }
}

/// A value for each of [`LATENCIES`]. No array of that length: rustc 1.95 finds a cycle
/// there when it optimises.
pub(super) fn values(paced: &Paced) -> Vec<f64> {
    let latencies = &paced.latencies;
    vec![
        latencies.within(0.5),
        latencies.within(0.9),
        latencies.within(0.99),
        latencies.within(0.999),
        latencies.longest(),
        paced.kept_up() * 100.0,
        paced.lateness.within(0.99),
    ]
}
