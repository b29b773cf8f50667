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

    /// The same with longer waits, and nothing counted yet.
    pub(crate) fn slower(&self) -> Self {
        Self::new(self.base.saturating_mul(4), self.cap.saturating_mul(2))
    }

    /// The longest wait.
    pub(crate) fn cap(&self) -> Duration {
        self.cap
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

    /// The wait after the loss of a link that lived for `life`. The first attempt is
    /// spread, as a whole fleet may have lost its links; links that die young are backed
    /// off from. Both of `random` are in 0..1.
    pub(crate) fn after_loss(
        &mut self,
        life: Duration,
        spread: Duration,
        random: [f64; 2],
    ) -> Duration {
        self.lived(life);
        let spread = spread.mul_f64(random[0].clamp(0.0, 1.0));
        if life < HEALTHY {
            spread + self.next_wait(random[1])
        } else {
            spread
        }
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

    #[test]
    fn the_first_try_after_a_loss_is_spread() {
        let spread = Duration::from_secs(5);
        let (base, cap) = (Duration::from_millis(250), Duration::from_secs(30));
        let mut backoff = Backoff::new(base, cap);
        for (random, expected) in [(0.0, 0), (0.5, 2_500), (1.0, 5_000)] {
            let wait = backoff.after_loss(HEALTHY, spread, [random, 1.0]);
            assert_eq!(wait.as_millis(), expected, "a healthy link's");
        }
        // One that dies young, and the next.
        let young = HEALTHY - Duration::from_millis(1);
        let waits = [(); 3].map(|()| backoff.after_loss(young, spread, [0.5, 1.0]).as_millis());
        assert_eq!(waits, [2_750, 3_000, 3_500]);
        assert_eq!(
            backoff.after_loss(young, Duration::ZERO, [1.0, 0.0]),
            Duration::ZERO
        );
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
