//! Downloads and uploads, one at a time, whole.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::measure::CPU_OF_BULK;
use super::{Case, Measure, Stage};
use crate::generator::Connection;
use crate::lean::origin::{UPLOAD, bulk};
use crate::origin::SMALL;
use crate::results::Report;

/// Bytes of one.
const BYTES: u64 = 256 * 1024 * 1024;
const PIECE: usize = 256 * 1024;
static DATA: [u8; PIECE] = [b'x'; PIECE];

pub(super) const RATE: Measure = Measure::more("MB/s", "MB/s").with_chart();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Down,
    Up,
}

impl Direction {
    pub(super) const ALL: [Self; 2] = [Self::Down, Self::Up];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Down => "Download",
            Self::Up => "Upload",
        }
    }
}

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let cases = stage.cases().await?;
    for direction in Direction::ALL {
        let title = format!("{} of {} MiB", direction.name(), BYTES >> 20);
        table(stage, report, &title, direction, BYTES, &cases).await;
    }
    Ok(())
}

pub(super) async fn table(
    stage: &Stage<'_>,
    report: &mut Report,
    title: &str,
    direction: Direction,
    bytes: u64,
    cases: &[Case<'_>],
) {
    let measures = [&[RATE][..], &CPU_OF_BULK].concat();
    let measure = async |case: &Case<'_>| transfer(case, direction, bytes).await;
    stage.table(report, title, &measures, cases, measure).await;
}

/// A value for each of the measures above. A small exchange comes first.
async fn transfer(case: &Case<'_>, direction: Direction, bytes: u64) -> Result<Vec<f64>> {
    let mut connection = Connection::for_bulk(&case.entry).await?;
    connection.exchange(&case.entry.get(SMALL)).await?;
    let (before, started) = (case.spent()?, Instant::now());
    match direction {
        Direction::Down => {
            let got = connection.exchange(&case.entry.get(&bulk(bytes))).await?;
            ensure!(got == bytes, "{got} bytes of {bytes} came");
        }
        Direction::Up => upload(case, &mut connection, bytes).await?,
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = case.spent()?.since(before, bytes as f64 / 1e9);
    Ok([&[bytes as f64 / 1e6 / seconds][..], &cpu].concat())
}

async fn upload(case: &Case<'_>, connection: &mut Connection, bytes: u64) -> Result<()> {
    let head = case.entry.head("PUT", UPLOAD);
    let head =
        format!("{head}Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n");
    connection.send(head.as_bytes()).await?;
    let mut left = bytes;
    while left > 0 {
        let piece = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
        connection.send(&DATA[..piece]).await?;
        left -= piece as u64;
    }
    // The origin answers when it has all of it.
    connection.answer(|_| {}).await.map(drop)
}
