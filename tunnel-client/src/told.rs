//! What the log has told of the way to each server, and to what is behind us: the steps
//! once, and again when another one fails; not at every try.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::steps::{Step, Steps};

/// A fault that stays is told again.
const REMIND_EVERY: Duration = Duration::from_secs(600);

/// By what the way leads to.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<String, Last>>);

#[derive(Debug)]
struct Last {
    /// The step that failed, and how; nothing where none did.
    fault: Option<(Step, String)>,
    at: Instant,
}

impl Told {
    /// All steps went well: tells them where that is news.
    pub(crate) fn went_well(&self, to: &str, steps: &Steps) {
        if self.is_news(to, None).0 {
            tell(to, steps);
        }
    }

    /// An attempt failed at its last step: tells those before it where another one had
    /// failed. Gives whether the fault itself is to be told.
    pub(crate) fn failed(&self, to: &str, steps: &Steps, fault: &str) -> bool {
        let step = steps.last();
        let (is_other_step, is_other_fault) = self.is_news(to, Some((step, fault.to_owned())));
        if is_other_step {
            tell(to, steps);
        }
        is_other_fault
    }

    fn is_news(&self, to: &str, fault: Option<(Step, String)>) -> (bool, bool) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = |fault: &Option<(Step, String)>| fault.as_ref().map(|(step, _)| *step);
        let last = told.get(to);
        let is_other_step = last.is_none_or(|last| step(&last.fault) != step(&fault));
        let is_other = |last: &Last| last.fault != fault || last.at.elapsed() >= REMIND_EVERY;
        let is_other_fault = last.is_none_or(is_other);
        if is_other_fault {
            let at = Instant::now();
            told.insert(to.to_owned(), Last { fault, at });
        }
        (is_other_step, is_other_fault)
    }
}

fn tell(to: &str, steps: &Steps) {
    for (step, seen) in steps.all_done() {
        tracing::info!(to, step = step.name(), "{seen}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://clusters.example.com";

    fn at(step: Step) -> Steps {
        let steps = Steps::default();
        steps.begins(step);
        steps
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_told_once_and_then_now_and_then() {
        let told = Told::default();
        let refused = at(Step::Connect);
        assert!(told.failed(SERVER, &refused, "refused"));
        assert!(!told.failed(SERVER, &refused, "refused"));
        assert!(told.failed(SERVER, &refused, "silent"), "another fault");
        assert!(told.failed("https://other.example.com", &refused, "silent"));
        tokio::time::advance(REMIND_EVERY).await;
        assert!(told.failed(SERVER, &refused, "silent"), "it still is");
        assert!(!told.failed(SERVER, &refused, "silent"));
        told.went_well(SERVER, &at(Step::Token));
        assert!(told.failed(SERVER, &refused, "silent"), "anew");
    }

    #[test]
    fn another_step_is_news() {
        let told = Told::default();
        let news = |step| told.is_news(SERVER, Some((step, "silent".to_owned())));
        assert_eq!(news(Step::Connect), (true, true));
        assert_eq!(news(Step::Connect), (false, false));
        assert_eq!(news(Step::Tls), (true, true));
        assert_eq!(told.is_news(SERVER, None), (true, true));
        assert_eq!(told.is_news(SERVER, None), (false, false));
    }
}
