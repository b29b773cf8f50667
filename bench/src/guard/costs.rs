//! Instructions for each time that something is done, and what became of them.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Way;
use super::under_callgrind::Totals;

/// Two runs of the same programs differ by less: timers, and who comes first.
const NOISE: f64 = 0.04;

/// Instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// With another one they are others.
    pub compiler: String,
    /// By what is done, then by program.
    instructions: BTreeMap<String, BTreeMap<String, u64>>,
}

/// One cost beside the one that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub way: String,
    pub program: String,
    pub before: Option<u64>,
    pub now: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Less,
    /// A regression.
    More,
    /// Not committed yet.
    New,
}

impl Costs {
    pub(super) fn new(compiler: String) -> Self {
        Self {
            compiler,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, way: Way, few: &Totals, many: &Totals, times: u64) {
        let costs = self.instructions.entry(way.name().to_owned()).or_default();
        for (program, total) in many {
            let before = few.get(program).copied().unwrap_or_default();
            let each = total.saturating_sub(before) / times;
            costs.insert((*program).to_owned(), each);
        }
    }

    /// # Errors
    /// Names the file.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read(file).with_context(|| format!("no {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds none", file.display()))
    }

    /// # Errors
    /// Names the file.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// All of these beside earlier ones.
    pub fn since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Change> + 'a {
        self.instructions.iter().flat_map(move |(way, programs)| {
            programs.iter().map(move |(program, now)| Change {
                way: way.clone(),
                program: program.clone(),
                before: before
                    .instructions
                    .get(way)
                    .and_then(|costs| costs.get(program))
                    .copied(),
                now: *now,
            })
        })
    }
}

impl Change {
    fn ratio(&self) -> Option<f64> {
        Some(self.now as f64 / self.before? as f64)
    }

    pub fn verdict(&self) -> Verdict {
        match self.ratio() {
            None => Verdict::New,
            Some(ratio) if ratio > 1.0 + NOISE => Verdict::More,
            Some(ratio) if ratio < 1.0 - NOISE => Verdict::Less,
            Some(_) => Verdict::Same,
        }
    }
}

impl Display for Change {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            way, program, now, ..
        } = self;
        write!(formatter, "{way:>12} {program:>14} {now:>10}")?;
        match (self.before, self.ratio()) {
            (Some(before), Some(ratio)) => {
                let percent = (ratio - 1.0) * 100.0;
                write!(formatter, " {before:>10} {percent:>+6.1} %")
            }
            _ => formatter.write_str("        new"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(now: u64) -> Costs {
        let (few, many) = (
            Totals::from([("a", 1000)]),
            Totals::from([("a", 1000 + 10 * now)]),
        );
        let mut costs = Costs::default();
        costs.add(Way::Request, &few, &many, 10);
        costs
    }

    #[test]
    fn what_is_done_more_often_costs_the_difference() {
        let before = costs(100);
        for (now, verdict) in [
            (100, Verdict::Same),
            (103, Verdict::Same),
            (105, Verdict::More),
            (95, Verdict::Less),
        ] {
            let changed = costs(now);
            let changes: Vec<_> = changed.since(&before).collect();
            assert_eq!((changes.len(), changes[0].now), (1, now));
            assert_eq!(changes[0].verdict(), verdict, "{}", changes[0]);
        }
        let new: Vec<_> = before
            .since(&Costs::default())
            .map(|change| change.verdict())
            .collect();
        assert_eq!(new, [Verdict::New]);
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guard.json");
        assert!(Costs::read(&file).is_err());
        costs(7).write(&file).unwrap();
        assert_eq!(Costs::read(&file).unwrap(), costs(7));
    }
}
