//! A part of the harness on a thread of its own, so that its CPU time can be
//! told from the others'.

use std::thread::JoinHandle;

use anyhow::{Context, Result};
use service_kit::tasks::{Spawner, Tasks};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::cpu;

/// A thread with a runtime; it ends when this is dropped.
#[derive(Debug)]
pub struct Lane {
    /// For [`cpu::of_thread`].
    pub thread: u32,
    stop: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Lane {
    /// Runs `build` there; the tasks that it starts go on until the end.
    pub async fn start<T, F>(
        name: &'static str,
        build: impl FnOnce(Spawner) -> F + Send + 'static,
    ) -> Result<(Self, T)>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let (tell, told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let runtime = match Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(tell.send(Err(error.into()))),
                };
                runtime.block_on(async move {
                    let tasks = Tasks::new();
                    let built = build(tasks.spawner()).await;
                    let thread = cpu::this_thread();
                    drop(tell.send(built.and_then(|built| Ok((built, thread?)))));
                    // Its sender never sends: it is dropped.
                    drop(stopped.await);
                });
            })?;
        let (built, thread) = told
            .await
            .context("the thread has ended")?
            .with_context(|| format!("cannot start the {name}"))?;
        let lane = Self {
            thread,
            stop: Some(stop),
            handle: Some(handle),
        };
        Ok((lane, built))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(handle) = self.handle.take() {
            drop(handle.join());
        }
    }
}
