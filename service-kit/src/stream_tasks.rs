//! Runs hyper's tasks of a link, each of which can be ended with its stream.

use hyper::rt::Executor;

use crate::tasks::Spawner;

/// See [`http_relay::stream_task`].
#[derive(Clone, Debug)]
pub struct StreamTasks(pub Spawner);

impl<F> Executor<F> for StreamTasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.0.spawn_stream_task(task);
    }
}
