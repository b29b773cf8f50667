//! Threads that share no work: each has a runtime of its own, and what begins on one
//! ends on it. Nothing is woken on another thread, which costs a small request more
//! than all else (measured, see `bench/PROXIES.md`).

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::runtime::{END, build};
use crate::tasks::Spawner;

/// The thread that started them, and others. Dropping it ends what runs on the others.
#[derive(Debug)]
pub struct Workers {
    runtimes: Vec<Handle>,
    others: Vec<Other>,
}

/// A thread with a runtime.
#[derive(Debug)]
struct Other {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// So many in all; this thread, on whose runtime it is called, is the first.
    ///
    /// # Errors
    /// When the system gives no thread or no poll descriptor.
    pub fn start(count: usize) -> io::Result<Self> {
        let mut workers = Self {
            runtimes: vec![Handle::current()],
            others: Vec::new(),
        };
        for number in 1..count {
            let (runtime, other) = Other::start(number)?;
            workers.runtimes.push(runtime);
            workers.others.push(other);
        }
        Ok(workers)
    }

    /// Of each one.
    #[must_use]
    pub fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }

    /// Starts tasks of the same owner, on each worker its own; the first is this
    /// thread's.
    pub fn spawners(&self, owner: &Spawner) -> Vec<Spawner> {
        let on = |runtime: &Handle| owner.on(runtime.clone());
        self.runtimes.iter().map(on).collect()
    }
}

impl Other {
    fn start(number: usize) -> io::Result<(Handle, Self)> {
        let runtime = build(1)?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let run = move || {
            runtime.block_on(stopped);
            runtime.shutdown_timeout(END);
        };
        let thread = Builder::new().name(format!("worker-{number}")).spawn(run)?;
        let thread = Some(thread);
        Ok((handle, Self { stop, thread }))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // Its tasks' panics are told of where they happen.
            drop(thread.join());
        }
    }
}

/// A connection that can go to another worker: each is woken by the runtime on which
/// it was made.
pub trait Movable: Sized {
    /// It, of no runtime.
    type Detached: Send + 'static;

    /// Leaves the runtime.
    ///
    /// # Errors
    /// The system's.
    fn detach(self) -> io::Result<Self::Detached>;

    /// Joins the runtime that it is called on.
    ///
    /// # Errors
    /// The system's.
    fn attach(detached: Self::Detached) -> io::Result<Self>;
}

impl Movable for TcpStream {
    type Detached = std::net::TcpStream;

    fn detach(self) -> io::Result<Self::Detached> {
        self.into_std()
    }

    fn attach(detached: Self::Detached) -> io::Result<Self> {
        Self::from_std(detached)
    }
}

impl Movable for UnixStream {
    type Detached = std::os::unix::net::UnixStream;

    fn detach(self) -> io::Result<Self::Detached> {
        self.into_std()
    }

    fn attach(detached: Self::Detached) -> io::Result<Self> {
        Self::from_std(detached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Tasks;
    use std::collections::HashSet;
    use std::thread;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{mpsc, oneshot};

    #[tokio::test]
    async fn each_is_a_thread_and_the_first_is_this_one() {
        let (workers, tasks) = (Workers::start(3).unwrap(), Tasks::new());
        let (told, mut threads) = mpsc::channel(3);
        for spawner in workers.spawners(&tasks.spawner()) {
            let told = told.clone();
            spawner.spawn(async move { told.send(thread::current().id()).await.unwrap() });
        }
        drop(told);
        let mut seen = HashSet::new();
        while let Some(thread) = threads.recv().await {
            seen.insert(thread);
        }
        assert_eq!(seen.len(), 3);
        assert!(seen.contains(&thread::current().id()));
    }

    #[tokio::test]
    async fn what_runs_on_them_ends_with_them() {
        let (workers, tasks) = (Workers::start(2).unwrap(), Tasks::new());
        let (begins, began) = oneshot::channel();
        let (held, ended) = oneshot::channel::<()>();
        let spawners = workers.spawners(&tasks.spawner());
        spawners[1].spawn(async move {
            let _held = held;
            begins.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        began.await.unwrap();
        drop(workers);
        assert!(ended.await.is_err());
    }

    #[tokio::test]
    async fn a_connection_goes_from_one_to_another() {
        let (workers, tasks) = (Workers::start(2).unwrap(), Tasks::new());
        let (here, mut there) = UnixStream::pair().unwrap();
        let here = here.detach().unwrap();
        workers.spawners(&tasks.spawner())[1].spawn(async move {
            let mut here = UnixStream::attach(here).unwrap();
            here.write_all(b"moved").await.unwrap();
        });
        let mut told = String::new();
        there.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "moved");
    }
}
