//! kubectl proxy in Rust.
//!
//! A request's way: [`listen`] opened its port, [`proxy`] takes it, the [`secret`]
//! proves it, [`routes`] tells where it goes, the [`filter`] decides, [`claims`] takes
//! what the caller may not say of itself, [`credential`] gives the `Authorization`
//! header, maybe of a [`plugin`], and the [`upstream`] sends it on, to be answered or to be spliced after an
//! upgrade. A watch ends by [`http_relay::watch_end`] when all end by [`drain`].

pub mod args;
mod capacity;
mod claims;
mod cluster;
mod config;
mod credential;
mod drain;
mod error;
mod escape_html;
pub mod filter;
mod go_words;
mod kube_credential;
mod listen;
mod metrics;
mod plain;
mod plugin;
mod probe;
mod program;
mod proxy;
mod rejection;
mod routes;
mod secret;
mod serving;
mod sidecar;
mod static_files;
mod token_file;
mod upstream;
mod well_formed;

pub use args::Args;
pub use cluster::{ClusterError, FlagsError, InPodError};
pub use config::{Config, ConfigError};
pub use listen::{Address, ListenError};
pub use plugin::PluginError;
pub use program::main;
pub use routes::PrefixError;
pub use secret::SecretError;
pub use sidecar::{BuildError, Sidecar};
pub use upstream::{ProxyChoiceError, TlsError, UpstreamBuildError};
