//! How the sidecar ends. After SIGTERM its callers have the time: it goes on serving
//! them, on new connections too, until none is open any more; in a pod they are told to
//! end at the same time, and need it for that. After SIGINT it ends what it is at. A
//! second signal ends all at once.

use std::pin::Pin;
use std::time::Duration;

use http_relay::watch_end::not_too_young;
use service_kit::shutdown::Signal;
use service_kit::tasks::Tasks;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What idle connections need to close, before what is left is counted and cut. A
/// wake-up for each, and there may be ten thousand.
const CLOSE: Duration = Duration::from_millis(500);

/// What those who serve are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// The end has begun: it is not ready, and watches end.
    pub(crate) draining: CancellationToken,
    /// It takes nothing new: no connection, and no second request on one.
    pub(crate) closing: CancellationToken,
}

impl Ending {
    /// Ready when a watch is to end whose answer's head comes now.
    pub(crate) fn of_a_watch(&self) -> impl Future<Output = ()> + use<> {
        let Self { draining, closing } = self.clone();
        not_too_young(draining.cancelled_owned(), closing.cancelled_owned())
    }
}

/// Accepts connections until [`Ending::closing`].
pub(crate) type Accepting = Pin<Box<dyn Future<Output = ()>>>;

/// Ends all that `tasks` has and `accepting` brings, `limit` after now at the latest.
/// `signal` was the first one, and `next` is to be the second.
///
/// Returns how many connections were cut.
pub(crate) async fn drain(
    signal: Signal,
    next: impl Future<Output = Signal>,
    limit: Duration,
    ending: &Ending,
    accepting: Accepting,
    tasks: Tasks,
) -> usize {
    let open = tasks.spawner().running();
    tracing::info!(?signal, open, "draining");
    ending.draining.cancel();
    if signal == Signal::Interrupt {
        ending.closing.cancel();
    }
    let (reason, patience) = tokio::select! {
        () = all_gone(&tasks, accepting) => ("no connection is open", CLOSE),
        () = sleep(limit) => ("the time is over", CLOSE),
        _ = next => ("a second signal", Duration::ZERO),
    };
    ending.closing.cancel();
    let cut = tasks.drain(patience).await;
    tracing::info!(cut, reason, "ended");
    cut
}

/// Waits until no connection is open, and none waits to be accepted.
async fn all_gone(tasks: &Tasks, mut accepting: Accepting) {
    let mut accepts = true;
    loop {
        tokio::select! {
            biased;
            () = &mut accepting, if accepts => accepts = false,
            () = tasks.ended() => {}
        }
        // One may have been accepted since the last one ended.
        if tasks.spawner().running() == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(30);

    /// How long it took, and how many were cut.
    async fn took(drain: impl Future<Output = usize>) -> (Duration, usize) {
        let begun = Instant::now();
        let cut = drain.await;
        (begun.elapsed(), cut)
    }

    #[tokio::test(start_paused = true)]
    async fn with_no_connection_it_ends_at_once() {
        let ending = Ending::default();
        for signal in [Signal::Terminate, Signal::Interrupt] {
            let accepting = Box::pin(pending());
            let drain = drain(signal, pending(), LIMIT, &ending, accepting, Tasks::new());
            assert_eq!(took(drain).await, (Duration::ZERO, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_accepted_meanwhile_is_waited_for_too() {
        let (tasks, ending) = (Tasks::new(), Ending::default());
        let spawner = tasks.spawner();
        spawner.spawn(sleep(Duration::from_secs(1)));
        let accepting = async move {
            sleep(Duration::from_millis(900)).await;
            spawner.spawn(sleep(Duration::from_secs(2)));
            pending().await
        };
        let accepting = Box::pin(accepting);
        let signal = Signal::Terminate;
        let drain = drain(signal, pending(), LIMIT, &ending, accepting, tasks);
        assert_eq!(took(drain).await, (Duration::from_millis(2_900), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn as_is_what_comes_with_the_end_of_the_last_one() {
        let (tasks, ending) = (Tasks::new(), Ending::default());
        let (ends, ended) = oneshot::channel();
        tasks.spawner().spawn(async { ends.send(()).unwrap() });
        let spawner = tasks.spawner();
        let accepting = async move {
            ended.await.unwrap();
            spawner.spawn(sleep(Duration::from_secs(5)));
            pending().await
        };
        let accepting = Box::pin(accepting);
        let signal = Signal::Terminate;
        let drain = drain(signal, pending(), LIMIT, &ending, accepting, tasks);
        assert_eq!(took(drain).await, (Duration::from_secs(5), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_interrupt_closes_before_the_time_is_over() {
        let slow = CLOSE / 2;
        for (signal, expected) in [(Signal::Terminate, LIMIT + slow), (Signal::Interrupt, slow)] {
            let (tasks, ending) = (Tasks::new(), Ending::default());
            let closing = ending.closing.clone();
            let idle = async move {
                closing.cancelled().await;
                sleep(slow).await;
            };
            tasks.spawner().spawn(idle);
            let accepting = Box::pin(ending.closing.clone().cancelled_owned());
            let drain = drain(signal, pending(), LIMIT, &ending, accepting, tasks);
            assert_eq!(took(drain).await, (expected, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_close_is_cut() {
        for signal in [Signal::Terminate, Signal::Interrupt] {
            let (tasks, ending) = (Tasks::new(), Ending::default());
            tasks.spawner().spawn(pending());
            let accepting = Box::pin(pending());
            let drain = drain(signal, pending(), LIMIT, &ending, accepting, tasks);
            assert_eq!(took(drain).await, (LIMIT + CLOSE, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_waits_for_nothing() {
        let (tasks, ending) = (Tasks::new(), Ending::default());
        tasks.spawner().spawn(pending());
        let again = ready(Signal::Terminate);
        let accepting = Box::pin(pending());
        let drain = drain(Signal::Terminate, again, LIMIT, &ending, accepting, tasks);
        let (took, cut) = took(drain).await;
        assert!(took < CLOSE, "{took:?}");
        assert_eq!(cut, 1);
    }
}
