//! kubectl proxy in Rust.
//!
//! A request's way: [`proxy`] takes it, the [`secret`] proves it, the [`filter`]
//! decides, [`credential`] gives the `Authorization` header, and the [`upstream`] sends it on, to be
//! answered or to be spliced after an upgrade.

pub mod args;
mod cluster;
mod credential;
mod error;
pub mod filter;
mod metrics;
mod probe;
mod proxy;
mod secret;
mod sidecar;
mod token_file;
mod upstream;

pub use args::{Args, Config, ConfigError};
pub use secret::SecretError;
pub use sidecar::{BuildError, Sidecar};
