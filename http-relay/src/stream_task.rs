//! A task that consumes a body, and can be ended from where the body was made.
//!
//! hyper asks a body for nothing while its peer has no room for what it took
//! before, so a body that fails meanwhile is not noticed: over HTTP/2 the stream
//! would stay open for as long as the peer likes. A task that hyper starts with an
//! executor that wraps it in [`endable`] can be ended all the same; h2 resets a
//! stream whose ends are all dropped.

use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static END: CancellationToken;
}

/// Runs a task until it ends or is ended.
pub async fn endable<F: Future>(task: F) {
    let end = CancellationToken::new();
    let running = end.clone().run_until_cancelled_owned(task);
    END.scope(end, running).await;
}

/// Ends the task that this is called in, if it is an [`endable`] one.
pub(crate) fn current() -> Option<CancellationToken> {
    END.try_with(Clone::clone).ok()
}
