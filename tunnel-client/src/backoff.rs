//! How long to wait between attempts: exponential, with full jitter, so that
//! the clients of a server that comes back do not all arrive at once.

use std::time::Duration;

/// A link that lived this long was healthy: the count starts anew.
pub(crate) const HEALTHY: Duration = Duration::from_secs(60);

/// Counts attempts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            attempts: 0,
        }
    }

    /// The wait before the next attempt; `random` is in 0..1.
    pub(crate) fn next_wait(&mut self, random: f64) -> Duration {
        let ceiling = self
            .base
            .saturating_mul(1 << self.attempts.min(20))
            .min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    /// Notes how long a link lived.
    pub(crate) fn lived(&mut self, life: Duration) {
        if life >= HEALTHY {
            self.attempts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grows_to_the_cap_and_starts_anew_after_health() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        let ceilings: Vec<_> = (0..9).map(|_| backoff.next_wait(1.0).as_millis()).collect();
        assert_eq!(
            ceilings,
            [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        );
        backoff.lived(HEALTHY - Duration::from_millis(1));
        assert_eq!(backoff.next_wait(1.0), Duration::from_secs(30));
        backoff.lived(HEALTHY);
        assert_eq!(backoff.next_wait(0.5), Duration::from_millis(125));
    }

    proptest! {
        #[test]
        fn never_above_the_cap(base in 0u64..10_000, cap in 0u64..60_000, tries in 0usize..100, random in 0.0f64..1.0) {
            let mut backoff = Backoff::new(Duration::from_millis(base), Duration::from_millis(cap));
            for _ in 0..tries {
                prop_assert!(backoff.next_wait(random) <= Duration::from_millis(cap));
            }
        }
    }
}
