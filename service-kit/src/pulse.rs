//! Whether the process's main loop turns: it beats beside its work, in the same
//! task, so that work which never comes back from a poll silences it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

const BEAT: Duration = Duration::from_secs(1);
/// Far above what a busy machine makes a task wait.
const SILENCE: Duration = Duration::from_secs(20);

/// When the main loop turned last.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Pulse {
    /// Beats while `work` goes on, as long as that lets it.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return done,
                now = beats.tick() => *self.last() = now,
            }
        }
    }

    /// Nothing, or for how long it has been silent.
    pub(crate) fn check(&self) -> Result<(), String> {
        let silent = self.last().elapsed();
        if silent <= SILENCE {
            return Ok(());
        }
        Err(format!(
            "the main loop has not turned for {} s",
            silent.as_secs()
        ))
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_beats_as_long_as_the_work_lets_it() {
        let pulse = Pulse::default();
        pulse.beside(sleep(10 * SILENCE)).await;
        pulse.check().unwrap();
        // Work that blocks inside of one poll.
        let mut time = pin!(advance(SILENCE + BEAT));
        let blocked = poll_fn(|context| {
            // The time has passed when this yields; here is no other poll between.
            let _ = time.as_mut().poll(context);
            Poll::Ready(pulse.check())
        });
        let told = pulse.beside(blocked).await.unwrap_err();
        // The last beat was then, or a second before.
        assert!(told.contains("not turned for 2"), "{told}");
    }
}
