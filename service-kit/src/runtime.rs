//! The async runtime.

use tokio::runtime::{Builder, Runtime};

/// Builds a runtime. With one worker everything runs on the calling thread:
/// waking a task on another thread costs more than the work of relaying a small
/// request (measured, see `bench/NOTES.md`).
///
/// # Errors
/// When the system gives no thread or no poll descriptor.
pub fn build(workers: usize) -> std::io::Result<Runtime> {
    let mut builder = if workers <= 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}
