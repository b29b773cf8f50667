//! Some loads of an earlier run, measured anew.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Report, Table};

/// When, and by what, a load was measured anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// UTC, RFC 3339.
    pub taken: String,
    /// The checkout.
    pub commit: String,
    pub rounds: usize,
    /// Peers that the earlier run had there, and this one has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Missing>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub name: String,
    /// Where it was not left out on purpose.
    pub reason: Option<String>,
}

impl Renewed {
    /// What is to be said of a load of which these tables were there.
    pub(super) fn of(&self, earlier: &[Table]) -> Self {
        let is_there = |name: &str| {
            let mut rows = earlier.iter().flat_map(|table| &table.rows);
            rows.any(|row| row.case.starts_with(name))
        };
        let mut own = self.clone();
        own.without.retain(|missing| is_there(&missing.name));
        own
    }
}

impl Report {
    /// The folder's results, in which this run's loads stand for the earlier ones. Without
    /// any there, or where a part differs so that nothing of it can stand beside this run's,
    /// this run's alone.
    ///
    /// # Errors
    /// As [`Self::instead_of_others`], where they differ.
    pub fn beside_others(self, folder: &Path) -> Result<Self> {
        let Some(earlier) = Self::read(folder)? else {
            return Ok(self);
        };
        if let Some(differs) = self.differs_from(&earlier) {
            let reason = format!("it is of another {differs}");
            return self.in_its_place(&earlier, folder, &reason);
        }
        let are_missing = earlier.peers.iter();
        let are_missing = are_missing.filter(|about| !self.peers.contains(about));
        let without = are_missing.map(|about| {
            let mut absent = self.absent.iter();
            let absent = absent.find(|absent| absent.about.name == about.name);
            Missing {
                name: about.name.to_owned(),
                reason: absent.map(|absent| absent.reason.clone()),
            }
        });
        Ok(Self {
            renewed: Some(Renewed {
                without: without.collect(),
                taken: self.taken,
                commit: self.machine.commit,
                rounds: self.settings.rounds,
            }),
            ..earlier
        })
    }

    /// This run, for which the folder's results are to go.
    ///
    /// # Errors
    /// Those are a whole run's, and this one is not: they took an hour.
    pub fn instead_of_others(self, folder: &Path) -> Result<Self> {
        if self.is_whole() {
            return Ok(self);
        }
        match Self::read(folder)? {
            Some(earlier) => self.in_its_place(&earlier, folder, "this run is a part"),
            None => Ok(self),
        }
    }

    /// A part in an earlier run's place.
    fn in_its_place(self, earlier: &Self, folder: &Path, reason: &str) -> Result<Self> {
        if earlier.is_whole() {
            bail!(
                "{} has a whole run, which is not replaced: {reason}; give another folder with \
                 --results, or measure all loads",
                folder.display()
            );
        }
        Ok(self)
    }

    /// What is in a folder, if there is something.
    fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("results.json");
        if !path.exists() {
            return Ok(None);
        }
        // Names of measures and peers are of the program's life.
        let text = std::fs::read_to_string(&path)?.leak();
        let report = serde_json::from_str(text).with_context(|| format!("{}", path.display()))?;
        Ok(Some(report))
    }

    /// Whether it was to have all loads of all peers, at their full length, as they were at
    /// its time.
    fn is_whole(&self) -> bool {
        let parts = ["--quick", "--only", "--peer"];
        !parts.iter().any(|part| self.command.contains(part))
    }

    fn differs_from(&self, earlier: &Self) -> Option<&'static str> {
        let (own, other) = (&self.machine, &earlier.machine);
        let (now, before) = (self.settings, earlier.settings);
        if (&own.processor, own.processors) != (&other.processor, other.processors) {
            return Some("machine");
        }
        let times = (now.seconds, now.warm_up_seconds);
        if times != (before.seconds, before.warm_up_seconds) || now.quick != before.quick {
            return Some("length of rounds");
        }
        let is_there = |about| earlier.peers.contains(about);
        (!self.peers.iter().all(is_there)).then_some("peer, or another version of it")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Absent;
    use super::super::table::tests::example;
    use super::super::tests::empty;
    use super::*;
    use crate::loads::Load;

    /// Figures of a load, each this one.
    fn measure(report: &mut Report, load: Load, value: f64) {
        report.begin(load);
        let mut table = example();
        table.add(1, &[value, f64::NAN]);
        report.add(table);
    }

    #[test]
    fn one_load_anew_stands_where_it_stood() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = empty(3);
        for (load, value) in [(Load::Requests, 1.0), (Load::Far, 2.0), (Load::Memory, 3.0)] {
            measure(&mut whole, load, value);
        }
        whole.write(folder.path()).unwrap();

        let mut again = empty(2).beside_others(folder.path()).unwrap();
        measure(&mut again, Load::Far, 20.0);
        again.write(folder.path()).unwrap();

        let read = empty(2).beside_others(folder.path()).unwrap();
        let last = |number: usize| read.tables[number].rows[1].figures[0].values.last();
        assert_eq!(read.settings.rounds, 3, "of the whole run");
        assert_eq!(
            [0, 1, 2].map(|number| *last(number).unwrap()),
            [1.0, 20.0, 3.0]
        );
        assert!(read.tables[0].rows[0].figures[1].values[0].is_nan());
        let renewed = read.tables.iter().map(|table| &table.renewed);
        let rounds: Vec<_> = renewed
            .map(|renewed| renewed.as_ref().map(|one| one.rounds))
            .collect();
        assert_eq!(rounds, [None, Some(2), None]);
        let page = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
        assert_eq!(page.matches("Taken anew at").count(), 1, "{page}");
    }

    fn of_another_machine(command: &str) -> Report {
        let mut other = empty(3);
        other.command = command.into();
        other.machine.processors += 1;
        measure(&mut other, Load::Far, 1.0);
        other
    }

    fn part() -> Report {
        let mut part = empty(3);
        part.command = "cargo xtask bench --quick".into();
        part
    }

    #[test]
    fn a_whole_run_of_another_machine_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = of_another_machine("cargo xtask bench --rounds 3");
        other.write(folder.path()).unwrap();
        let refused = part().beside_others(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("of another machine"), "{refused}");
        assert!(part().instead_of_others(folder.path()).is_err());
        assert!(
            empty(3).instead_of_others(folder.path()).is_ok(),
            "it is whole"
        );
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(
            empty(3).beside_others(elsewhere.path()).is_ok(),
            "nothing is there"
        );
    }

    #[test]
    fn a_part_of_another_machine_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = of_another_machine("cargo xtask bench --only far");
        other.write(folder.path()).unwrap();
        for report in [
            part().beside_others(folder.path()),
            part().instead_of_others(folder.path()),
        ] {
            let report = report.unwrap();
            assert!(report.tables.is_empty() && report.renewed.is_none());
        }
    }

    #[test]
    fn peers_that_a_part_has_not_are_named_where_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = empty(3);
        measure(&mut whole, Load::Far, 1.0);
        whole.write(folder.path()).unwrap();
        let mut part = empty(3);
        let missing = [part.peers.pop().unwrap(), part.peers.pop().unwrap()];
        part.absent.push(Absent {
            about: missing[0],
            reason: "it does not build".into(),
        });
        let mut part = part.beside_others(folder.path()).unwrap();
        for table in &mut part.tables {
            table.rows[2].case = format!("{} + kubectl proxy", missing[0].name);
        }
        measure(&mut part, Load::Far, 2.0);
        part.write(folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
        let told = format!("3 rounds, without {} (it does not build).", missing[0].name);
        assert!(page.contains(&told), "{page}");
    }
}
