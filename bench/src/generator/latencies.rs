//! How long requests took.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

/// Of a value: to a thousandth of it.
const DIGITS: u8 = 3;
/// The longest that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(120);

/// A histogram, microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn new() -> Result<Self> {
        let longest = LONGEST.as_micros() as u64;
        Ok(Self(Histogram::new_with_bounds(1, longest, DIGITS)?))
    }

    pub fn add(&mut self, latency: Duration) {
        self.0
            .saturating_record((latency.as_micros() as u64).max(1));
    }

    pub fn join(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds within which that share of them was answered; of none, not a number.
    pub fn within(&self, share: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        self.0.value_at_quantile(share) as f64 / 1000.0
    }

    /// The longest, milliseconds.
    pub fn longest(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let mut latencies = Latencies::new().unwrap();
        for milliseconds in 1..=100 {
            latencies.add(Duration::from_millis(milliseconds));
        }
        assert!((latencies.within(0.5) - 50.0).abs() < 0.1);
        assert!((latencies.within(0.99) - 99.0).abs() < 0.1);
        assert!((latencies.longest() - 100.0).abs() < 0.1);
        assert!(Latencies::new().unwrap().within(0.5).is_nan());
    }
}
