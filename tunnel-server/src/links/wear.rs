//! What a link loses by streams that end before their time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Counts the streams that were reset on our side. h2 ends a connection on which it had
/// to answer too many frames of streams that it does not remember: long before that
/// another link is to take this one's place.
#[derive(Debug)]
pub(super) struct Wear {
    resets: AtomicUsize,
    most: usize,
    worn: CancellationToken,
}

impl Wear {
    /// It is worn by so many resets.
    pub(super) fn new(most: usize) -> Self {
        Self {
            resets: AtomicUsize::new(0),
            most,
            worn: CancellationToken::new(),
        }
    }

    /// A stream was reset.
    pub(super) fn reset(&self) {
        // Once: a token that is cancelled anew wakes nobody, but takes its lock.
        if self.resets.fetch_add(1, Ordering::Relaxed) + 1 == self.most {
            self.worn.cancel();
        }
    }

    pub(super) fn is_out(&self) -> bool {
        self.worn.is_cancelled()
    }

    /// Waits until it is worn.
    pub(super) async fn out(&self) {
        self.worn.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn it_is_worn_by_the_last_reset() {
        let wear = Wear::new(2);
        let mut out = pin!(wear.out());
        let mut context = Context::from_waker(Waker::noop());
        wear.reset();
        assert!(out.as_mut().poll(&mut context).is_pending());
        wear.reset();
        assert!(out.as_mut().poll(&mut context).is_ready());
    }
}
