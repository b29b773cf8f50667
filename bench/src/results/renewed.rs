//! Some loads of an earlier run, measured anew.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Renewed, Report};

impl Report {
    /// The folder's results, in which this run's loads stand for the earlier ones. Without
    /// any there, this run's alone.
    ///
    /// # Errors
    /// What is there is of another machine, of other peers, or made with other settings: then
    /// nothing of it can stand beside this run's.
    pub fn beside_others(self, folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        if !path.exists() {
            return Ok(self);
        }
        // Names of measures and peers are of the program's life.
        let text = std::fs::read_to_string(&path)?.leak();
        let whole: Self =
            serde_json::from_str(text).with_context(|| format!("{}", path.display()))?;
        let differs = self.differs_from(&whole);
        ensure!(
            differs.is_none(),
            "{}: of another {}; give another folder with --results, or measure all loads",
            path.display(),
            differs.unwrap_or_default()
        );
        Ok(Self {
            renewed: Some(Renewed {
                taken: self.taken,
                commit: self.machine.commit,
                rounds: self.settings.rounds,
            }),
            ..whole
        })
    }

    fn differs_from(&self, whole: &Self) -> Option<&'static str> {
        let (own, other) = (&self.machine, &whole.machine);
        let (now, before) = (self.settings, whole.settings);
        if (&own.processor, own.processors) != (&other.processor, other.processors) {
            return Some("machine");
        }
        let times = (now.seconds, now.warm_up_seconds);
        if times != (before.seconds, before.warm_up_seconds) || now.quick != before.quick {
            return Some("length of rounds");
        }
        let is_there = |about| whole.peers.contains(about);
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

    #[test]
    fn what_is_of_another_machine_does_not_stand_beside() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = empty(3);
        other.machine.processors += 1;
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
}
