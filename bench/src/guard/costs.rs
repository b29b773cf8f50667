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
/// And by less than this part of what all programs together cost: a megabyte is nothing to
/// the sidecar, but it comes in more pieces, or fewer.
const NOISE_OF_ALL: f64 = 0.003;

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
    /// Of all programs.
    all_before: u64,
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
            let before = before.instructions.get(way);
            programs.iter().map(move |(program, now)| Change {
                way: way.clone(),
                program: program.clone(),
                before: before.and_then(|costs| costs.get(program)).copied(),
                now: *now,
                all_before: before.map_or(0, |costs| costs.values().sum()),
            })
        })
    }
}

impl Change {
    fn ratio(&self) -> Option<f64> {
        Some(self.now as f64 / self.before? as f64)
    }

    pub fn verdict(&self) -> Verdict {
        let Some(before) = self.before else {
            return Verdict::New;
        };
        let (now, before) = (self.now as f64, before as f64);
        let noise = f64::max(NOISE * before, NOISE_OF_ALL * self.all_before as f64);
        match now - before {
            more if more > noise => Verdict::More,
            less if less < -noise => Verdict::Less,
            _ => Verdict::Same,
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
    fn a_small_part_of_the_whole_is_chance() {
        let costs = |small| {
            let many = Totals::from([("small", small), ("large", 10_000)]);
            let mut costs = Costs::default();
            costs.add(Way::Megabyte, &Totals::new(), &many, 1);
            costs
        };
        for (now, verdict) in [(125, Verdict::Same), (140, Verdict::More)] {
            let (now, before) = (costs(now), costs(100));
            let small = now.since(&before).find(|change| change.program == "small");
            assert_eq!(small.unwrap().verdict(), verdict);
        }
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
