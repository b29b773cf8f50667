//! The links of all clusters: how one is made ([`handshake`]), what it is
//! ([`link`]), what keeps it ([`keeper`]), and how one is found ([`registry`]).

mod handshake;
mod keeper;
mod link;
mod registry;
mod slot;
mod wear;

pub(crate) use handshake::{Handshakes, accept};
pub(crate) use keeper::DRAIN_SPREAD;
pub(crate) use link::{LinkName, OpenError};
pub(crate) use registry::{NoLink, Registry};
pub(crate) use slot::hold_answer;
