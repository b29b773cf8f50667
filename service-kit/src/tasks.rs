//! The one place that starts tasks. Each belongs to a [`Tasks`]; when that is
//! dropped, its tasks end.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// Those that run, whoever owns them.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// How many tasks run in the process, whoever owns them.
#[must_use]
pub fn running() -> usize {
    RUNNING.load(Ordering::Relaxed)
}

/// Owns tasks. Dropping it ends them at their next wait.
#[derive(Debug, Default)]
pub struct Tasks {
    spawner: Spawner,
}

/// Starts tasks that a [`Tasks`] owns.
#[derive(Clone, Debug, Default)]
pub struct Spawner {
    tracker: TaskTracker,
    end: CancellationToken,
    /// Where they run; without one, where they are started.
    runtime: Option<Handle>,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that starts tasks here.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Waits until all tasks have ended by themselves, at that moment: one that is
    /// started afterwards is not waited for.
    pub async fn ended(&self) {
        self.spawner.tracker.close();
        self.spawner.tracker.wait().await;
    }

    /// Waits until all tasks have ended by themselves, at most `deadline`; then
    /// ends the rest.
    ///
    /// Returns how many had to be ended.
    pub async fn drain(self, deadline: Duration) -> usize {
        self.spawner.tracker.close();
        let drained = tokio::time::timeout(deadline, self.spawner.tracker.wait()).await;
        let left = if drained.is_ok() {
            0
        } else {
            self.spawner.tracker.len()
        };
        self.spawner.end.cancel();
        self.spawner.tracker.wait().await;
        left
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.spawner.end.cancel();
    }
}

impl Spawner {
    /// Starts tasks of the same owner on this runtime, wherever it is asked to.
    #[must_use]
    pub fn on(&self, runtime: Handle) -> Self {
        Self {
            runtime: Some(runtime),
            ..self.clone()
        }
    }

    /// Starts a task.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(task);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wrapper that gives each task its owner"
    )]
    fn start<F>(&self, task: F)
    where
        F: Future + Send + 'static,
    {
        let end = self.end.clone().cancelled_owned();
        let counted = Running::one();
        let task = self.tracker.track_future(Owned { end, task, counted });
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(task)),
            None => drop(tokio::spawn(task)),
        }
    }

    /// How many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}

pin_project_lite::pin_project! {
    /// A task until its owner ends it. An `async` block would hold the task twice: as it
    /// was given to it, and as it runs.
    struct Owned<F> {
        #[pin]
        end: WaitForCancellationFutureOwned,
        #[pin]
        task: F,
        counted: Running,
    }
}

/// One task among [`running`], until it is dropped.
struct Running;

impl Running {
    fn one() -> Self {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F: Future> Future for Owned<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match this.task.poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => this.end.poll(context),
        }
    }
}

/// Runs what takes long or waits for a disk where it holds up no task. A panic in
/// there is the caller's.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.start(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn dropping_the_owner_ends_its_tasks() {
        let tasks = Tasks::new();
        let (held, ended) = oneshot::channel::<()>();
        tasks.spawner().spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        drop(tasks);
        assert!(ended.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn drain_waits_and_then_ends_the_rest() {
        let tasks = Tasks::new();
        tasks.spawner().spawn(async {});
        tasks.spawner().spawn(pending());
        assert_eq!(tasks.drain(Duration::from_secs(3)).await, 1);
    }
}
