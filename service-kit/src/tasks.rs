//! The one place that starts tasks. Each belongs to a [`Tasks`]; when that is
//! dropped, its tasks end.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_relay::stream_task::{Endable, TaskEnd};
use slab::Slab;
use tokio::runtime::Handle;
use tokio::sync::Notify;

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
    owned: Arc<OwnedTasks>,
    /// Where they run; without one, where they are started.
    runtime: Option<Handle>,
}

/// What can be ended, and waited for. Not a cancellation token that all watch: each wait
/// of each task took its lock.
#[derive(Debug, Default)]
struct OwnedTasks {
    running: Mutex<RunningTasks>,
    /// Told whenever none runs any more.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct RunningTasks {
    ends: Slab<TaskEnd>,
    /// Their owner is gone: whoever is started ends at its first wait.
    ended: bool,
}

impl OwnedTasks {
    fn lock(&self) -> MutexGuard<'_, RunningTasks> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.lock().ends.len()
    }

    fn enter(self: &Arc<Self>, end: TaskEnd) -> Running {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        let mut running = self.lock();
        if running.ended {
            end.end();
        }
        Running {
            key: running.ends.insert(end),
            owned: self.clone(),
        }
    }

    fn end(&self) {
        let ends: Vec<_> = {
            let mut running = self.lock();
            running.ended = true;
            running.ends.iter().map(|(_, end)| end.clone()).collect()
        };
        // Not under the lock, which a task takes when it is dropped.
        ends.iter().for_each(TaskEnd::end);
    }

    async fn empty(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            // Before the look, so that no end is missed in between.
            emptied.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }
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
        self.spawner.owned.empty().await;
    }

    /// Waits until all tasks have ended by themselves, at most `deadline`; then
    /// ends the rest.
    ///
    /// Returns how many had to be ended.
    pub async fn drain(self, deadline: Duration) -> usize {
        let owned = &self.spawner.owned;
        let drained = tokio::time::timeout(deadline, owned.empty()).await;
        let left = if drained.is_ok() { 0 } else { owned.len() };
        owned.end();
        owned.empty().await;
        left
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.spawner.owned.end();
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

    /// Starts one that can be ended from where a body is made that it consumes; see
    /// [`http_relay::stream_task`].
    pub fn spawn_stream_task<F>(&self, task: F)
    where
        F: Future + Send + 'static,
    {
        let end = TaskEnd::default();
        self.start_until(end.clone(), end.known_to(task));
    }

    fn start<F>(&self, task: F)
    where
        F: Future + Send + 'static,
    {
        self.start_until(TaskEnd::default(), task);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wrapper that gives each task its owner"
    )]
    fn start_until<F>(&self, end: TaskEnd, task: F)
    where
        F: Future + Send + 'static,
    {
        let running = self.owned.enter(end.clone());
        let task = Owned {
            task: Endable::new(end, task),
            running,
        };
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(task)),
            None => drop(tokio::spawn(task)),
        }
    }

    /// How many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.owned.len()
    }
}

pin_project_lite::pin_project! {
    /// A task until its owner ends it. An `async` block would hold the task twice: as it
    /// was given to it, and as it runs.
    struct Owned<F> {
        // Dropped before it counts as ended.
        #[pin]
        task: Endable<F>,
        running: Running,
    }
}

/// One task among those of its owner, and among [`running`], until it is dropped.
struct Running {
    owned: Arc<OwnedTasks>,
    key: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        let is_empty = {
            let mut running = self.owned.lock();
            running.ends.try_remove(self.key);
            running.ends.is_empty()
        };
        if is_empty {
            self.owned.emptied.notify_waiters();
        }
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F: Future> Future for Owned<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(context).map(drop)
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
