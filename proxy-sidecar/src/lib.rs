//! kubectl proxy in Rust.
//!
//! A request's way: [`listen`] opened its port, [`proxy`] takes it, the [`secret`]
//! proves it, [`routes`] tells where it goes, the [`filter`] decides, [`credential`]
//! gives the `Authorization` header, and the [`upstream`] sends it on, to be answered
//! or to be spliced after an upgrade.

pub mod args;
mod cluster;
mod config;
mod credential;
mod error;
mod escape_html;
pub mod filter;
mod go_words;
mod listen;
mod metrics;
mod plain;
mod probe;
mod proxy;
mod routes;
mod secret;
mod sidecar;
mod static_files;
mod token_file;
mod upstream;
mod well_formed;

pub use args::Args;
pub use config::{Config, ConfigError};
pub use listen::{Address, ListenError};
pub use routes::PrefixError;
pub use secret::SecretError;
pub use sidecar::{BuildError, Sidecar};
