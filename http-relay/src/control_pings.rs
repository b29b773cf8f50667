//! Pings on a link's control stream, whichever side sends them: how long one takes, and
//! that one is answered at all.
//!
//! HTTP/2's own pings, which hyper sends, wait for as long as anything comes. Where only
//! one direction of a path is dead, what still comes from there would put off its
//! discovery, so these do not.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tunnel_protocol::limits::PING_TIMEOUT;

/// Sends none by itself: says when one is due.
#[derive(Debug)]
pub struct ControlPings {
    due: Interval,
    /// The last one's number and time.
    last: (u64, Instant),
    /// Since when none has been answered of those that were sent.
    unanswered: Option<Instant>,
    /// A peer that has never answered may not know pings; nothing is made of that.
    answers: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send the one of this number.
    Ping(u64),
    /// One was not answered in [`PING_TIMEOUT`]: the link is dead, one way or both.
    Overdue,
}

impl ControlPings {
    /// The first is due at once.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            due,
            last: (0, Instant::now()),
            unanswered: None,
            answers: false,
        }
    }

    /// Waits for what is to be done next. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Due {
        let overdue = self
            .unanswered
            .filter(|_| self.answers)
            .map(|since| since + PING_TIMEOUT);
        tokio::select! {
            // Overdue, even where another one is due at the same moment.
            biased;
            () = sleep_until(overdue.unwrap_or(self.last.1)), if overdue.is_some() => Due::Overdue,
            _ = self.due.tick() => {
                let now = Instant::now();
                self.last = (self.last.0 + 1, now);
                self.unanswered.get_or_insert(now);
                Due::Ping(self.last.0)
            }
        }
    }

    /// The peer has answered one; gives how long the last one took, if it is that.
    pub fn answered(&mut self, number: u64) -> Option<Duration> {
        let (last, sent) = self.last;
        self.unanswered?;
        if number != last {
            // It was alive when it answered this one.
            if (1..last).contains(&number) {
                self.unanswered = Some(sent);
            }
            return None;
        }
        self.unanswered = None;
        self.answers = true;
        Some(sent.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(12);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_answering_is_found() {
        let mut pings = ControlPings::new(EVERY);
        assert_eq!(pings.next().await, Due::Ping(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pings.answered(1), Some(Duration::from_secs(1)));
        assert_eq!(pings.next().await, Due::Ping(2));
        let sent = Instant::now();
        assert_eq!(pings.next().await, Due::Overdue);
        assert_eq!(sent.elapsed(), PING_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn more_pings_do_not_put_it_off() {
        let mut pings = ControlPings::new(Duration::from_secs(2));
        assert_eq!(pings.next().await, Due::Ping(1));
        assert!(pings.answered(1).is_some());
        let mut sent = 0;
        let unanswered = Instant::now() + Duration::from_secs(2);
        while pings.next().await != Due::Overdue {
            sent += 1;
        }
        assert_eq!(sent, 5);
        assert_eq!(unanswered.elapsed(), PING_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_counts_from_the_ping_behind_it() {
        let mut pings = ControlPings::new(Duration::from_secs(8));
        assert_eq!(pings.next().await, Due::Ping(1));
        assert!(pings.answered(1).is_some());
        assert_eq!(pings.next().await, Due::Ping(2));
        assert_eq!(pings.next().await, Due::Ping(3));
        let sent = Instant::now();
        assert_eq!(pings.answered(2), None);
        assert_eq!(pings.next().await, Due::Ping(4));
        assert_eq!(pings.next().await, Due::Overdue);
        assert_eq!(sent.elapsed(), PING_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_made_of_a_peer_that_never_answers() {
        let mut pings = ControlPings::new(EVERY);
        for number in 1..10 {
            assert_eq!(pings.next().await, Due::Ping(number));
        }
        // Nor of what was never asked.
        assert_eq!(pings.answered(77), None);
        assert_eq!(pings.next().await, Due::Ping(10));
    }
}
