//! The async runtime.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Most connections that are looked at before what they wake has run. With all that are
/// ready at once (tokio's 1,024) hundreds of requests go from one process to the next as
/// one block, and one processor waits while the other works (see `bench/NOTES.md`).
const EVENTS: usize = 16;

/// How long tasks have to end when all is over. They have been told before; it is for
/// those on other threads, which nobody waits for otherwise.
pub(crate) const END: Duration = Duration::from_millis(100);

/// Runs `main` and what it starts; when it has come to its end that ends, too. Nothing
/// is waited for that stands still in a thread, as the system's resolver may.
///
/// # Errors
/// When the system gives no thread or no poll descriptor.
pub fn run<F: Future>(workers: usize, main: F) -> io::Result<F::Output> {
    let runtime = build(workers)?;
    let done = runtime.block_on(main);
    runtime.shutdown_timeout(END);
    Ok(done)
}

/// With one worker everything runs on the calling thread:
/// waking a task on another thread costs more than the work of relaying a small
/// request (measured, see `bench/NOTES.md`).
pub(crate) fn build(workers: usize) -> io::Result<Runtime> {
    let mut builder = if workers <= 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.max_io_events_per_tick(EVENTS).enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_stands_still_in_a_thread_is_not_waited_for() {
        for workers in [1, 2] {
            let begun = Instant::now();
            let (_held, stands_still) = mpsc::channel::<()>();
            let main = async move {
                let (begins, began) = tokio::sync::oneshot::channel();
                let waiting = tokio::task::spawn_blocking(move || {
                    let _ = begins.send(());
                    stands_still.recv_timeout(LONG)
                });
                began.await.unwrap();
                drop(waiting);
            };
            run(workers, main).unwrap();
            assert!(begun.elapsed() < LONG);
        }
    }
}
