//! A task that consumes a body, and can be ended from where the body was made.
//!
//! hyper asks a body for nothing while its peer has no room for what it took
//! before, so a body that fails meanwhile is not noticed: over HTTP/2 the stream
//! would stay open for as long as the peer likes. A task that hyper starts with an
//! executor that wraps it in [`endable`] can be ended all the same; h2 resets a
//! stream whose ends are all dropped.

use tokio_util::future::FutureExt;
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static END: CancellationToken;
}

/// Runs a task until it ends or is ended, and gives nothing then. Not an `async fn`: that
/// would hold the task three times, as it was given to each of the futures around it, and
/// as it runs.
pub fn endable<F: Future>(task: F) -> impl Future<Output = Option<F::Output>> {
    let end = CancellationToken::new();
    END.scope(end.clone(), task)
        .with_cancellation_token_owned(end)
}

/// Ends the task that this is called in, if it is an [`endable`] one.
pub(crate) fn current() -> Option<CancellationToken> {
    END.try_with(Clone::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each stream of a link has such a task, and each link another one.
    #[test]
    fn a_task_is_held_once() {
        let task = [0_u64; 512];
        let size = size_of_val(&task);
        let endable = endable(async move {
            std::future::pending::<()>().await;
            std::hint::black_box(task);
        });
        assert!(size_of_val(&endable) < 2 * size);
    }
}
