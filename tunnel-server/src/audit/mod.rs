//! Who did what: one JSON line for each request when it ends, one more when a
//! stream starts, and one when a link is accepted, refused or ended.
//!
//! A [`record`] is written by Drop, so that no way out of the gateway misses it.
//! Drop can neither wait nor lose anything: each line has a [`Slot`] in the queue
//! before there is something to tell ([`queue`]), and whoever gets none is not
//! served. A thread of its own makes the lines ([`mod@line`]) and writes them
//! ([`writer`], [`sink`]); what they show of a request is masked ([`http_relay::mask`]).

mod counts;
mod line;
mod link_record;
mod queue;
mod record;
mod sink;
mod unwritten;
mod writer;

use std::path::PathBuf;

use clap::ValueEnum;

pub(crate) use counts::Counts;
pub(crate) use link_record::LinkRecord;
pub(crate) use queue::{Audit, Slot, Unavailable};
pub(crate) use record::{AuthenticatedBy, Decision, Record, Start, as_asked};
pub use sink::OpenError as AuditError;

/// Where lines go, and what becomes of requests when they cannot.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) log: Log,
    pub(crate) on_failure: OnFailure,
}

/// Where lines go.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    Stdout,
    File(PathBuf),
}

/// What becomes of requests when their lines cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// They get 503.
    #[default]
    Refuse,
    /// They pass, and are counted where there is no room to keep their lines.
    Pass,
}

impl Log {
    /// `-` is standard output.
    pub(crate) fn of(path: PathBuf) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdout
        } else {
            Self::File(path)
        }
    }
}
