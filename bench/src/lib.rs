//! Measures our own processes side by side with what they could be.
//!
//! A measurement is a list of cases; [`rounds`] runs them A B C, C B A, … in one
//! go, so that whatever else the machine does meets all of them, and
//! [`report`] prints medians, spreads and ratios as markdown tables.
//!
//! - [`origin`] answers as an API server would, from memory; [`caller`] and
//!   [`load`] call it; [`chain`] puts our processes between the two.
//! - [`lean`] are callers and an origin that cost as little as can be, for where they
//!   share two cores with what is measured; [`proxies`] measures one with them.
//! - [`peers`] are other tunnels beside ours, [`loads`] what is asked of them by the
//!   [`generator`], and [`results`] what comes of it: see `PEERS.md`.
//! - [`guard`] counts the instructions of our own.
//! - [`upgraded`] carries upgraded connections over a link in two ways.
//! - [`choices`] are the measurements behind the choices in `NOTES.md`.

#![expect(
    missing_docs,
    reason = "tooling: names and the modules' own lines say it"
)]

pub mod build;
pub mod caller;
pub mod certificate;
pub mod chain;
pub mod choices;
pub mod cpu;
pub mod generator;
pub mod guard;
pub mod lane;
pub mod lean;
pub mod load;
pub mod loads;
pub mod origin;
pub mod peers;
pub mod proxies;
pub mod report;
pub mod results;
pub mod rounds;
pub mod stats;
pub mod upgraded;
