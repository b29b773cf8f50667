//! Whether the API server rejects our credential: told once when that begins, and
//! once when it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};

/// API servers remember for 10 s that a token is good. Where there are several, the
/// one still takes what another rejects already: no end, and not to be told as one.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What the answers have said so far.
#[derive(Debug, Default)]
pub(crate) struct Rejection {
    /// Whether there is one, for all the answers while there is none.
    is_there: AtomicBool,
    last: Mutex<Option<Rejected>>,
}

#[derive(Debug)]
struct Rejected {
    began: Instant,
    last: Instant,
    credential: Option<HeaderValue>,
}

/// What an answer has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Began,
    /// After that time.
    Ended(Duration),
}

impl Rejection {
    /// Takes note of an answer to a request with this credential.
    pub(crate) fn answered(
        &self,
        credential: Option<&HeaderValue>,
        status: StatusCode,
    ) -> Option<Change> {
        self.answered_at(credential, status, Instant::now())
    }

    fn answered_at(
        &self,
        credential: Option<&HeaderValue>,
        status: StatusCode,
        now: Instant,
    ) -> Option<Change> {
        let rejected = status == StatusCode::UNAUTHORIZED;
        if !rejected && !self.is_there.load(Ordering::Relaxed) {
            return None;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let change = match last.as_mut() {
            Some(before) if rejected => {
                before.last = now;
                before.credential = credential.cloned();
                None
            }
            Some(before) => {
                let another = before.credential.as_ref() != credential;
                let quiet = now.saturating_duration_since(before.last) >= REMEMBERED;
                (another || quiet)
                    .then(|| Change::Ended(now.saturating_duration_since(before.began)))
            }
            None => rejected.then_some(Change::Began),
        };
        match change {
            Some(Change::Began) => {
                *last = Some(Rejected {
                    began: now,
                    last: now,
                    credential: credential.cloned(),
                });
            }
            Some(Change::Ended(_)) => *last = None,
            None => {}
        }
        self.is_there.store(last.is_some(), Ordering::Relaxed);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REJECTED: StatusCode = StatusCode::UNAUTHORIZED;
    const GOOD: StatusCode = StatusCode::FORBIDDEN;

    #[test]
    fn it_begins_once_and_ends_once_with_another_credential() {
        let (rejection, start) = (Rejection::default(), Instant::now());
        let [old, new] = ["old", "new"].map(HeaderValue::from_static);
        let at = |credential, status, seconds| {
            let now = start + Duration::from_secs(seconds);
            rejection.answered_at(Some(credential), status, now)
        };
        assert_eq!(at(&old, GOOD, 0), None);
        assert_eq!(at(&old, REJECTED, 1), Some(Change::Began));
        assert_eq!(at(&old, REJECTED, 2), None);
        // Another API server that has not heard of it.
        assert_eq!(at(&old, GOOD, 3), None);
        assert_eq!(at(&old, REJECTED, 4), None);
        let ended = Change::Ended(Duration::from_secs(4));
        assert_eq!(at(&new, GOOD, 5), Some(ended));
        assert_eq!(at(&new, GOOD, 6), None);
    }

    #[test]
    fn the_same_credential_ends_it_when_no_server_rejects_it_any_more() {
        let (rejection, start) = (Rejection::default(), Instant::now());
        let at = |status, after| rejection.answered_at(None, status, start + after);
        assert_eq!(at(REJECTED, Duration::ZERO), Some(Change::Began));
        assert_eq!(at(GOOD, REMEMBERED / 2), None);
        assert_eq!(at(GOOD, REMEMBERED), Some(Change::Ended(REMEMBERED)));
    }
}
