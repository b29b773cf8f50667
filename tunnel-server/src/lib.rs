//! Accepts links from tunnel-clients and serves callers.
//!
//! A request's way: [`listener`] (TLS, HTTP) → [`gateway`], which reads as the
//! list of its steps → [`links`], which holds who is reachable. Who may do what
//! is the [`access`] store's word; [`config`] is that store's file, and the
//! server's own settings.

pub mod access;
mod audit;
pub mod cli;
pub mod config;
mod dev_certificate;
pub mod gateway;
pub mod hosts;
mod limits;
mod links;
mod listener;
mod metrics;
mod pages;
mod server;
mod shared;

pub use audit::{AuditError, OnFailure};
pub use config::{Config, ConfigError};
pub use server::{BuildError, Server};
