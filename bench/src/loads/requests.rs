//! Small requests in a closed loop: the most that is carried, what it costs, and the
//! memory that it takes.

use anyhow::Result;

use super::measure::{CPU_OF_REQUESTS, MEMORY};
use super::{Case, Measure, Stage, connections};
use crate::generator::closed_loop::Keeps;
use crate::origin::SMALL;
use crate::results::Report;

const CONNECTIONS: [usize; 4] = [1, 8, 32, 256];
const IN_A_QUICK_RUN: [usize; 3] = [1, 32, 256];

const RATE: Measure = Measure::more("requests/s", "requests/s").with_chart();

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let cases = stage.cases().await?;
    tables(stage, report, "Requests", &cases).await;
    Ok(())
}

/// A table for each count of connections.
pub(super) async fn tables(
    stage: &Stage<'_>,
    report: &mut Report,
    title: &str,
    cases: &[Case<'_>],
) {
    let measures = [&[RATE][..], &CPU_OF_REQUESTS, &MEMORY].concat();
    let counts: &[usize] = if stage.effort.quick {
        &IN_A_QUICK_RUN
    } else {
        &CONNECTIONS
    };
    for count in counts {
        let title = format!("{title}, {}", connections(*count));
        let measure = async |case: &Case<'_>| {
            let callers = Keeps::connect(&case.entry, SMALL, *count).await?;
            let (looped, cpu) = case.closed_loop(callers, stage.effort.times).await?;
            anyhow::Ok([&[looped.per_second()][..], &cpu, &case.memory()?].concat())
        };
        stage.table(report, &title, &measures, cases, measure).await;
    }
}
