//! The steps to a link, as the log and `tunnel-client check` tell them: what was seen at
//! each, and which one it is that fails.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// As much of a text as is shown, characters.
const LONGEST: usize = 1000;

/// In the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Flags, environment, files.
    Settings,
    /// Name to addresses; a proxy's, where there is one.
    Resolve,
    /// TCP.
    Connect,
    /// What the proxy leads to.
    Proxy,
    /// With the server.
    Tls,
    /// The request to make a link of the connection, and whether it passes.
    Carrier,
    /// Whether the server knows it.
    Token,
    /// The cluster's.
    Name,
    /// The link's round trip.
    Ping,
    /// proxy-sidecar, or kubectl proxy in its place.
    Sidecar,
    /// Behind that.
    ApiServer,
    /// Who we are there.
    Identity,
}

impl Step {
    /// As users see it, in `--json`, too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Carrier => "carrier",
            Self::Token => "token",
            Self::Name => "name",
            Self::Ping => "ping",
            Self::Sidecar => "sidecar",
            Self::ApiServer => "api-server",
            Self::Identity => "identity",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A step that was taken, and what was seen.
pub(crate) type Done = (Step, String);

/// Those of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Steps(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    done: Vec<Done>,
    /// Begun and not done.
    doing: Option<Step>,
}

impl Steps {
    /// What fails from now on fails at this step. Where it was done before, as on the way
    /// to another address, that and what came of it does not count.
    pub(crate) fn begins(&self, step: Step) {
        let mut taken = self.lock();
        taken.doing = Some(step);
        let before = taken.done.iter().position(|(done, _)| *done == step);
        if let Some(before) = before {
            taken.done.truncate(before);
        }
    }

    /// It went well. What was seen may be a stranger's words, and ends up in a terminal.
    pub(crate) fn done(&self, step: Step, seen: impl AsRef<str>) {
        self.begins(step);
        let mut taken = self.lock();
        taken.doing = None;
        taken.done.push((step, words(seen.as_ref())));
    }

    /// Those that went well.
    pub(crate) fn all_done(&self) -> Vec<Done> {
        self.lock().done.clone()
    }

    /// The step at which it stands, or that went well last.
    pub(crate) fn last(&self) -> Step {
        let taken = self.lock();
        let done = taken.done.last().map(|(step, _)| *step);
        taken.doing.or(done).unwrap_or(Step::Settings)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stranger's words as far as a person should see them.
pub(crate) fn words(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_last_counts() {
        let steps = Steps::default();
        assert_eq!(steps.last(), Step::Settings);
        steps.begins(Step::Resolve);
        steps.done(Step::Resolve, "one");
        steps.done(Step::Connect, "to one");
        steps.begins(Step::Tls);
        assert_eq!(steps.last(), Step::Tls);
        // Another address, as TLS has failed with that one.
        steps.begins(Step::Connect);
        assert_eq!(steps.last(), Step::Connect);
        assert_eq!(steps.all_done(), [(Step::Resolve, "one".to_owned())]);
        steps.done(Step::Connect, "to another");
        assert_eq!(steps.last(), Step::Connect);
        let all = steps.all_done();
        assert_eq!(all[1], (Step::Connect, "to another".to_owned()));
    }

    #[test]
    fn json_has_the_names_that_people_see() {
        for step in [Step::Settings, Step::ApiServer, Step::Ping] {
            let json = serde_json::to_value(step).unwrap();
            assert_eq!(json, step.name());
        }
    }
}
