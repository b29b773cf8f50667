//! Accepts links from tunnel-clients and serves callers.
//!
//! A request's way: [`listener`] ([`front`]: PROXY protocol, TLS; then HTTP) →
//! [`gateway`], which reads as the list of its steps → [`links`], which holds who is
//! reachable. Who may do what is the [`access`] store's word; [`config`] is that store's
//! file, and the server's own settings.

pub mod access;
mod audit;
pub mod cli;
mod client_address;
pub mod config;
mod dev_certificate;
mod first_host;
mod forwarded;
mod front;
pub mod gateway;
pub mod hosts;
mod limits;
mod links;
mod listener;
mod metrics;
mod pages;
mod placement;
mod plain_http;
mod program;
mod proxy_protocol;
mod public_listener;
mod seldom;
mod server;
mod serving;
mod shared;
#[cfg(feature = "simulation")]
pub mod simulation;
mod tls_handshakes;
mod trusted_proxies;

pub use audit::{AuditError, OnFailure};
pub use config::{Config, ConfigError};
pub use program::main;
pub use server::{BuildError, Server};
