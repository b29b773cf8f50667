//! Makes a cluster's local port reachable through a tunnel-server.
//!
//! The [`connector`] runs the [`lanes`], each of which keeps a link ([`lane`]): it makes an
//! [`attempt`], which [`dial`]s, through a proxy if the environment names one, with the [`trust`]
//! that the files say, and shakes hands ([`handshake`], [`redirects`]), has the [`link`] [`served`]
//! and, when that ends, waits as [`backoff`] says. The [`fleet`] knows them all. The [`steps`] of
//! an attempt are [`told`] in the log, and by [`check()`], which also looks at what is [`behind`].
//! Each request that comes over a link is [`relay`]ed to the
//! [`upstream`], with the [`sidecar_secret`], and a [`probe`] looks whether that answers.

mod addresses;
pub mod args;
mod attempt;
mod backoff;
mod behind;
mod carriers;
mod check;
pub mod cli;
mod connector;
mod control;
mod dial;
mod first_bytes;
mod fleet;
mod handshake;
mod idle_cuts;
mod lane;
mod lanes;
mod link;
mod link_metrics;
mod link_stats;
mod metrics;
mod old_links;
mod probe;
mod program;
mod public_urls;
mod redirects;
mod relay;
mod seen;
mod served;
mod server_url;
mod shared;
mod sidecar_connections;
mod sidecar_secret;
#[cfg(feature = "simulation")]
pub mod simulation;
mod steps;
mod strange_request;
mod stranger;
mod tls_fault;
mod token_source;
mod told;
mod trust;
mod upstream;

pub use args::{Args, Config, ConfigError};
pub use check::{Report, check};
pub use cli::{Cli, Command};
pub use connector::{BuildError, Connector};
pub use handshake::RefusedForGood;
pub use program::main;
pub use trust::TrustError;
