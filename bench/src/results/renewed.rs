//! Some loads of an earlier run, measured anew.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Report;
use crate::loads::Load;

/// When, and by what, a load was measured anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// UTC, RFC 3339.
    pub taken: String,
    /// The checkout.
    pub commit: String,
    pub rounds: usize,
    /// Names of the peers that the earlier run had, and this one has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

impl Report {
    /// The folder's results, in which this run's loads stand for the earlier ones. Without
    /// any there, or where a part differs so that nothing of it can stand beside this run's,
    /// this run's alone.
    ///
    /// # Errors
    /// A whole run's results are there, of another machine, of other peers, or made with
    /// other settings: they took an hour, and are not thrown away for a part.
    pub fn beside_others(self, folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        if !path.exists() {
            return Ok(self);
        }
        // Names of measures and peers are of the program's life.
        let text = std::fs::read_to_string(&path)?.leak();
        let earlier: Self =
            serde_json::from_str(text).with_context(|| format!("{}", path.display()))?;
        if let Some(differs) = self.differs_from(&earlier) {
            if earlier.is_whole() {
                bail!(
                    "{}: of another {differs}; give another folder with --results, or measure \
                     all loads",
                    path.display()
                );
            }
            eprintln!("{} is replaced: of another {differs}", path.display());
            return Ok(self);
        }
        let missing = earlier
            .peers
            .iter()
            .filter(|about| !self.peers.contains(about));
        Ok(Self {
            renewed: Some(Renewed {
                taken: self.taken,
                commit: self.machine.commit,
                rounds: self.settings.rounds,
                without: missing.map(|about| about.name.to_owned()).collect(),
            }),
            ..earlier
        })
    }

    /// Whether it has all loads of all peers, at their full length.
    fn is_whole(&self) -> bool {
        let mut loads = Load::value_variants().iter();
        let is_there = |load: &Load| self.tables.iter().any(|table| table.load == load.name());
        let peers = self.peers.len() + self.absent.len();
        !self.settings.quick && peers == crate::peers::all().len() && loads.all(is_there)
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

    /// A run on another machine, of these loads.
    fn of_another_machine(loads: &[Load]) -> Report {
        let mut other = empty(3);
        other.machine.processors += 1;
        for load in loads {
            measure(&mut other, *load, 1.0);
        }
        other
    }

    #[test]
    fn a_whole_run_of_another_machine_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = of_another_machine(Load::value_variants());
        other.write(folder.path()).unwrap();
        let refused = empty(3).beside_others(folder.path()).unwrap_err();
        assert!(
            refused.to_string().contains("of another machine"),
            "{refused}"
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
        let mut other = of_another_machine(&[Load::Far]);
        other.write(folder.path()).unwrap();
        let report = empty(3).beside_others(folder.path()).unwrap();
        assert!(report.tables.is_empty() && report.renewed.is_none());
    }

    #[test]
    fn peers_that_a_part_has_not_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = empty(3);
        measure(&mut whole, Load::Far, 1.0);
        whole.write(folder.path()).unwrap();
        let mut part = empty(3);
        let missing = part.peers.pop().unwrap();
        let mut part = part.beside_others(folder.path()).unwrap();
        measure(&mut part, Load::Far, 2.0);
        part.write(folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
        let told = format!("3 rounds, without {}.", missing.name);
        assert!(page.contains(&told), "{page}");
    }
}
