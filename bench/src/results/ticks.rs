//! Where the processors' time went.

/// Of `/proc/stat`'s first line: the time of all states, and of the 8th, `steal`.
const STEAL: usize = 7;
/// Behind them are guests', which are in the first two already.
const STATES: usize = 8;

/// Since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    pub(super) fn read() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let states = line.split_whitespace().take(STATES);
        let states: Vec<u64> = states.map_while(|ticks| ticks.parse().ok()).collect();
        Some(Self {
            all: states.iter().sum(),
            stolen: *states.get(STEAL)?,
        })
    }

    /// Percent.
    pub(super) fn stolen_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let stolen = self.stolen.checked_sub(before.stolen)?;
        Some(stolen as f64 / all as f64 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time() {
        let before = Ticks::of("cpu  10 0 10 80 0 0 0 0 5 0\ncpu0 1").unwrap();
        let now = Ticks::of("cpu  20 0 20 150 0 0 0 10 9 0\n").unwrap();
        assert_eq!(now.stolen_since(before), Some(10.0));
        assert_eq!(before.stolen_since(before), None);
        assert_eq!(Ticks::of("x"), None);
    }
}
