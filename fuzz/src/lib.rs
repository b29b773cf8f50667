//! What strangers send: callers, clusters, whoever stands between, and people
//! who edit the configuration; and what logs show of it. Each target takes bytes and
//! asserts what must hold whatever they are.
//!
//! `cargo xtask fuzz` runs them under libFuzzer; the tests replay `corpus/`.

pub mod config;
pub mod control;
pub mod handshake;
pub mod headers;
mod input;
pub mod mask;
pub mod path;
pub mod strict_http1;
pub mod token;

/// A target: fails by panicking.
pub type Target = fn(&[u8]);

/// Every target by the name of its binary and of its corpus' folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("config", config::run),
    ("control", control::run),
    ("handshake", handshake::run),
    ("headers", headers::run),
    ("mask", mask::run),
    ("path", path::run),
    ("strict_http1", strict_http1::run),
    ("token", token::run),
];
