//! What became of each request, and whether that may be.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::kills::Victim;

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Small,
    Watch,
    Bulk,
    Upgrade,
}

/// How one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it came.
    Whole,
    /// With an error that its caller sees.
    Failed(String),
    /// It looked like an end, and was none.
    LookedWhole(String),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    pub(crate) end: End,
}

/// When a process was away, and how long that may be felt.
#[derive(Clone, Debug)]
pub(crate) struct Away {
    pub(crate) victim: Victim,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Away {
    fn touches(&self, record: &Record) -> bool {
        record.from <= self.to && record.to >= self.from
    }
}

/// What became of a load's requests.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Answers of each kind.
    pub(crate) answers: Vec<(Kind, usize)>,
    /// The requests that were not whole.
    pub(crate) failed: Vec<Record>,
}

impl Ends {
    /// # Errors
    /// What may not be.
    pub(crate) fn judge(&self, away: &[Away]) -> Result<()> {
        for record in &self.failed {
            let touches = |away: &&Away| away.touches(record);
            let kind = record.kind;
            match &record.end {
                End::Whole => {}
                End::Failed(error) => ensure!(
                    away.iter().any(|away| touches(&away)),
                    "{kind:?} failed while nothing was away: {error}"
                ),
                // An upgraded stream's own protocol tells its end. Where the kernel
                // closes the sidecar's plain socket, TCP has no other word for it.
                End::LookedWhole(what) => ensure!(
                    kind == Kind::Upgrade
                        && away
                            .iter()
                            .filter(touches)
                            .any(|away| away.victim == Victim::Sidecar),
                    "{kind:?} was cut and looked whole: {what}"
                ),
            }
        }
        for (kind, answers) in &self.answers {
            let failed = self.failed.iter().filter(|record| record.kind == *kind);
            println!("{kind:?}: {answers} answers, {} failed", failed.count());
            ensure!(*answers > 0, "no {kind:?} was answered");
        }
        Ok(())
    }
}
