//! The links of all clusters: how one is made ([`handshake`]), what it is
//! ([`link`]), what keeps it ([`keeper`]), what is said on it ([`control`]), and how
//! one is found ([`registry`]) or waited for ([`arrivals`]).

mod arrivals;
mod carrier;
mod control;
mod driver;
mod handshake;
mod keeper;
mod link;
mod registry;
mod slot;
mod wear;

pub(crate) use control::DRAIN_SPREAD;
pub(crate) use handshake::{Handshakes, accept};
pub(crate) use link::{LinkName, OpenError};
pub(crate) use registry::{Hold, NoLink, Registry};
pub(crate) use slot::hold_answer;
