//! Whether the sidecar answers, asked again and again, for readiness: by
//! `OPTIONS *`, which it answers itself, as kubectl proxy does. It has to accept
//! the secret, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::behind;
use crate::steps::Steps;
use crate::told::Told;
use crate::upstream::Upstream;

/// How often it is asked, and how long it may take.
const PROBE: Duration = Duration::from_secs(2);
/// How often, what is behind it, while that fails.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What the sidecar answered last.
#[derive(Clone, Debug)]
pub(crate) struct Probe(Arc<Mutex<Result<(), String>>>);

impl Probe {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Err(
            "the sidecar was not asked yet".to_owned()
        ))))
    }

    /// Nothing, or what is wrong.
    pub(crate) fn last(&self) -> Result<(), String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks until it is dropped. The log is told when the answer has become another one;
    /// `looks_behind`, then also what is behind the sidecar, as by `tunnel-client check`.
    pub(crate) async fn ask(&self, upstream: &Upstream, looks_behind: bool) {
        let told = Told::default();
        let mut look_at = Some(Instant::now());
        loop {
            let steps = Steps::default();
            let answered = behind::ask_sidecar(upstream, PROBE, &steps).await;
            let was_there = self.last().is_ok();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answered.clone();
            if answered.is_ok() && !was_there {
                look_at = Some(Instant::now());
            }
            let is_due = look_at.is_some_and(|at| at <= Instant::now());
            let looked = match answered {
                Ok(()) if looks_behind && is_due => behind::ask_api_server(upstream, &steps).await,
                answered => answered,
            };
            if is_due {
                look_at = looked.is_err().then(|| Instant::now() + LOOK_AGAIN);
            }
            tell(&told, upstream, &steps, looked);
            sleep(PROBE).await;
        }
    }
}

fn tell(told: &Told, upstream: &Upstream, steps: &Steps, looked: Result<(), String>) {
    let upstream = upstream.authority().as_str();
    match looked {
        Ok(()) => told.went_well(upstream, steps),
        Err(fault) => {
            if told.failed(upstream, steps, &fault) {
                let step = steps.last().name();
                tracing::warn!(upstream, step, fault, "the cluster cannot be reached");
            }
        }
    }
}
