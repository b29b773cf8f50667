//! What Culvert's long-running binaries share.

pub mod accept;
pub mod admin;
pub mod exit;
pub mod file_watch;
pub mod held_read;
pub mod http_server;
pub mod metered;
pub mod metrics;
pub mod open_files;
pub mod paced_read;
pub mod panic_hook;
pub mod private_process;
pub mod prompt_tcp;
pub mod proxy;
pub mod pulse;
pub mod runtime;
pub mod secret_file;
pub mod shutdown;
pub mod stream_tasks;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod upgraded;
pub mod websocket;
pub mod workers;
pub mod write_stall;
