//! A task that can be ended from outside: from where a body was made that it consumes.
//!
//! hyper asks a body for nothing while its peer has no room for what it took
//! before, so a body that fails meanwhile is not noticed: over HTTP/2 the stream
//! would stay open for as long as the peer likes. A task that [knows its
//! end](TaskEnd::known_to) can be ended all the same; h2 resets a stream whose ends are all
//! dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static END: TaskEnd;
}

/// Ends one task.
#[derive(Clone, Debug, Default)]
pub struct TaskEnd(Arc<State>);

#[derive(Debug, Default)]
struct State {
    ended: AtomicBool,
    waits: AtomicWaker,
}

impl TaskEnd {
    /// Has the task end at its next wait, or now if it waits.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
        self.0.waits.wake();
    }

    /// Whether the task is to end; if not, it is woken when it is. For the task alone.
    pub fn poll(&self, cx: &Context<'_>) -> bool {
        let ended = || self.0.ended.load(Ordering::SeqCst);
        ended() || {
            self.0.waits.register(cx.waker());
            ended()
        }
    }

    /// The task, which bodies that it consumes can end by this from now on.
    pub fn known_to<F: Future>(&self, task: F) -> TaskLocalFuture<Self, F> {
        END.scope(self.clone(), task)
    }
}

pin_project_lite::pin_project! {
    /// Runs a task until it ends or is ended, and gives nothing then. Not an `async fn`:
    /// that would hold the task several times, as it was given to it, and as it runs.
    #[derive(Debug)]
    pub struct Endable<F> {
        #[pin]
        task: F,
        end: TaskEnd,
    }
}

impl<F: Future> Endable<F> {
    /// Until this end.
    pub fn new(end: TaskEnd, task: F) -> Self {
        Self { task, end }
    }
}

/// A task with an end that it knows.
#[cfg(test)]
pub(crate) fn endable<F: Future>(task: F) -> Endable<TaskLocalFuture<TaskEnd, F>> {
    let end = TaskEnd::default();
    Endable::new(end.clone(), end.known_to(task))
}

impl<F: Future> Future for Endable<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.task.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if this.end.poll(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The end of the task that this is called in, if that one knows it.
pub(crate) fn current() -> Option<TaskEnd> {
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

    #[tokio::test]
    async fn one_that_waits_is_woken_and_one_that_does_not_ends_at_its_next_wait() {
        let end = TaskEnd::default();
        let task = Endable {
            task: end.known_to(std::future::pending::<()>()),
            end: end.clone(),
        };
        let ((), ended) = tokio::join!(async { end.end() }, task);
        assert_eq!(ended, None);
        let done = Endable {
            task: end.known_to(async { current().is_some() }),
            end,
        };
        assert_eq!(done.await, Some(true), "it did not wait");
    }
}
