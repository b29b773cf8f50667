//! Makes a cluster's local port reachable through a tunnel-server.
//!
//! The [`connector`] runs the [`linker`], which keeps a link: it [`dial`]s, through a proxy if the
//! environment names one, shakes hands ([`handshake`]),
//! serves the [`link`] and, when that ends, waits as [`backoff`] says. Each
//! request that comes over the link is [`relay`]ed to the [`upstream`], with the [`sidecar_secret`],
//! and a [`probe`] looks whether that answers.

pub mod args;
mod backoff;
mod connector;
mod control;
mod dial;
mod handshake;
mod link;
mod linker;
mod metrics;
mod probe;
mod relay;
mod server_url;
mod sidecar_secret;
mod strange_request;
mod token_source;
mod upstream;

pub use args::{Args, Config, ConfigError};
pub use connector::{BuildError, Connector};
pub use handshake::RefusedForGood;
