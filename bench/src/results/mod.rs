//! What a run gave, as JSON, as Markdown and as charts.

mod chart;
mod machine;
mod markdown;
mod renewed;
mod table;
mod ticks;

use std::mem::take;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::loads::{Effort, Load};
use crate::peers::About;
use ticks::Ticks;

pub use machine::Machine;
pub use renewed::{Missing, Renewed};
pub use table::{Figure, Row, Table};

/// All of it; what `results.json` holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Report {
    /// What was called to make it.
    pub command: String,
    /// UTC, RFC 3339.
    pub taken: String,
    pub machine: Machine,
    /// The part of the run's time that the processors gave to other virtual machines.
    pub stolen_percent: Option<f64>,
    pub settings: Settings,
    pub peers: Vec<About>,
    pub absent: Vec<Absent>,
    pub tables: Vec<Table>,
    /// Since [`Report::begin`].
    #[serde(skip)]
    load: String,
    /// Where its next table stands.
    #[serde(skip)]
    next: usize,
    /// Its tables of the earlier run.
    #[serde(skip)]
    replaced: Vec<Table>,
    /// When it began.
    #[serde(skip)]
    ticks: Option<Ticks>,
    /// Where loads are measured anew, beside others of an earlier run.
    #[serde(skip)]
    renewed: Option<Renewed>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Settings {
    pub rounds: usize,
    pub warm_up_seconds: f64,
    pub seconds: f64,
    pub quick: bool,
}

/// A peer that was not measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Absent {
    pub about: About,
    pub reason: String,
}

impl From<Effort> for Settings {
    fn from(effort: Effort) -> Self {
        Self {
            rounds: effort.rounds,
            warm_up_seconds: effort.times.warm_up.as_secs_f64(),
            seconds: effort.times.time.as_secs_f64(),
            quick: effort.quick,
        }
    }
}

impl Report {
    pub fn new(
        command: String,
        effort: Effort,
        peers: Vec<About>,
        absent: Vec<Absent>,
    ) -> Result<Self> {
        let now = time::OffsetDateTime::now_utc().replace_nanosecond(0)?;
        Ok(Self {
            command,
            taken: now.format(&time::format_description::well_known::Rfc3339)?,
            machine: Machine::read(),
            stolen_percent: None,
            settings: effort.into(),
            peers,
            absent,
            tables: Vec::new(),
            load: String::new(),
            next: 0,
            replaced: Vec::new(),
            ticks: Ticks::read(),
            renewed: None,
        })
    }

    /// The tables that follow are of this load, and stand for those that an earlier run
    /// had of it.
    pub(crate) fn begin(&mut self, load: Load) {
        self.load = load.name();
        let is_its = |table: &Table| table.load == self.load;
        let earlier = self.tables.iter().position(is_its);
        self.next = earlier.unwrap_or(self.tables.len());
        let (earlier, others) = take(&mut self.tables).into_iter().partition(is_its);
        self.tables = others;
        self.replaced = earlier;
    }

    pub(crate) fn add(&mut self, mut table: Table) {
        table.load.clone_from(&self.load);
        // The same settings, and this load alone.
        let quick = if self.settings.quick { " --quick" } else { "" };
        table.command = format!("cargo xtask bench{quick} --only {}", self.load);
        table.renewed = self
            .renewed
            .as_ref()
            .map(|renewed| renewed.of(&self.replaced));
        self.tables.insert(self.next, table);
        self.next += 1;
    }

    /// Writes `results.json`, `README.md` and a chart for each measure that has one; what
    /// an earlier run left of these in the folder is replaced.
    pub fn write(&mut self, folder: &Path) -> Result<()> {
        // Of a whole run's time.
        if self.renewed.is_none() {
            let both = self.ticks.zip(Ticks::read());
            self.stolen_percent = both.and_then(|(before, now)| now.stolen_since(before));
        }
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "svg") {
                std::fs::remove_file(path)?;
            }
        }
        let json = serde_json::to_string_pretty(self)?;
        std::fs::write(folder.join("results.json"), json + "\n")?;
        for table in &self.tables {
            for number in table.charts() {
                chart::draw(self, table, number, &folder.join(table.chart(number)))?;
            }
        }
        std::fs::write(folder.join("README.md"), markdown::document(self))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::generator::closed_loop::Times;

    /// Of all peers, without tables.
    pub(super) fn empty(rounds: usize) -> Report {
        let times = Times {
            warm_up: Duration::ZERO,
            time: Duration::ZERO,
        };
        let effort = Effort {
            rounds,
            times,
            quick: false,
        };
        let peers = crate::peers::all();
        let peers = peers.iter().map(|peer| peer.about()).collect();
        Report::new("command".into(), effort, peers, Vec::new()).unwrap()
    }
}
