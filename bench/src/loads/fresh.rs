//! A new connection for each request, as every `kubectl` command makes one.

use anyhow::Result;

use super::measure::CPU_OF_REQUESTS;
use super::{Case, Measure, Stage};
use crate::generator::closed_loop::Anew;
use crate::origin::SMALL;
use crate::results::Report;

const AT_ONCE: usize = 32;
const MEASURES: [Measure; 3] = [
    Measure::more("requests/s", "requests/s").with_chart(),
    Measure::less("p50", "ms"),
    Measure::less("p99", "ms"),
];

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let cases = stage.cases().await?;
    let title = format!("A new connection for each request, {AT_ONCE} at a time");
    table(stage, report, &title, AT_ONCE, &cases).await;
    Ok(())
}

pub(super) async fn table(
    stage: &Stage<'_>,
    report: &mut Report,
    title: &str,
    at_once: usize,
    cases: &[Case<'_>],
) {
    let measures = [&MEASURES[..], &CPU_OF_REQUESTS].concat();
    let measure = async |case: &Case<'_>| {
        let caller = || Anew {
            entry: case.entry.clone(),
            request: case.entry.get(SMALL),
        };
        let callers: Vec<_> = std::iter::repeat_with(caller).take(at_once).collect();
        let (looped, cpu) = case.closed_loop(callers, stage.effort.times).await?;
        anyhow::Ok([&looped.figures()[..], &cpu].concat())
    };
    stage.table(report, title, &measures, cases, measure).await;
}
