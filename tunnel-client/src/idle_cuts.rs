//! Boxes on the way that cut what is quiet for less time than pings are apart: they are
//! told from other ends of links by how regular they are, and pinged past.

use std::time::Duration;

use tunnel_protocol::limits::PING_EVERY;

/// One may be an accident.
const IN_A_ROW: u32 = 2;
/// A link that ends sooner was not cut for being quiet.
const SHORTEST: Duration = Duration::from_secs(2);
/// Pings come no more often.
const MOST_OFTEN: Duration = Duration::from_secs(1);

/// What is known of them on a lane's way.
#[derive(Debug, Default)]
pub(crate) struct IdleCuts {
    in_a_row: u32,
    /// Between pings, where the usual is too long.
    ping_every: Option<Duration>,
}

impl IdleCuts {
    /// A registered link ended that neither side had asked to end.
    pub(crate) fn ended(&mut self, life: Duration) {
        let before_the_first_ping = SHORTEST..PING_EVERY.start;
        if !before_the_first_ping.contains(&life) {
            self.in_a_row = 0;
            return;
        }
        self.in_a_row += 1;
        if self.in_a_row >= IN_A_ROW {
            self.in_a_row = 0;
            let every = (life / 2).max(MOST_OFTEN);
            let every = self.ping_every.map_or(every, |last| every.min(last));
            if self.ping_every != Some(every) {
                tracing::warn!(
                    links_lived_s = life.as_secs(),
                    ping_every_ms = every.as_millis() as u64,
                    "links are cut soon after their start: it may be that something on the way \
                     cuts what is quiet; pinging more often, but raise its idle timeout above 20 s"
                );
            }
            self.ping_every = Some(every);
        }
    }

    /// How far apart a link's pings are to be.
    pub(crate) fn ping_every(&self) -> Duration {
        self.ping_every
            .unwrap_or_else(|| rand::random_range(PING_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_in_a_row_are_pinged_past() {
        let mut cuts = IdleCuts::default();
        let usual = |cuts: &IdleCuts| PING_EVERY.contains(&cuts.ping_every());
        let seconds = Duration::from_secs;
        for life in [10, 3600, 10, 1, 10] {
            cuts.ended(seconds(life));
            assert!(usual(&cuts), "after {life} s");
        }
        cuts.ended(seconds(10));
        assert_eq!(cuts.ping_every(), seconds(5));
        // It helps, as far as it goes.
        cuts.ended(seconds(3600));
        assert_eq!(cuts.ping_every(), seconds(5));
        (0..4).for_each(|_| cuts.ended(seconds(2)));
        assert_eq!(cuts.ping_every(), MOST_OFTEN);
    }
}
