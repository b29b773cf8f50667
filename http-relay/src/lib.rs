//! One HTTP hop, as all three processes make it.
//!
//! - [`headers`]: what belongs to one hop is removed, in order, before anything
//!   of our own is set.
//! - [`framing`]: lengths and encodings are made anew at each hop.
//! - [`inbound`]: a body's end is believed only where it really came.
//! - [`body`]: streams a body with its trailers; a body that was cut is always an
//!   error and never looks whole.
//! - [`control_messages`] and [`control_pings`]: what the two ends of a link tell each
//!   other, and whether the other one is there.
//! - [`gathered_writes`]: what HTTP/2 has to say at a time is one write.
//! - [`h2_received`] and [`h2_send`]: bodies on HTTP/2 streams without hyper;
//!   [`h2_error`]: what HTTP/2 knows of a failure.
//! - [`upgrade`], [`splice`] and [`join`]: connections that switch protocols.
//! - [`strict_http1`]: requests that could be framed in two ways end at the edge.
//! - [`raw_targets`]: what no URL may hold raw, and callers send raw all the same.
//! - [`stall_budget`]: what peers that do not read may make us hold.
//! - [`stream_task`]: ends a body's consumer from outside.
//! - [`watch_end`]: the clean end of a watch in a drain.
//! - [`status`]: errors as a Kubernetes `Status`.
//! - [`mask`]: what logs may show of a request; [`named`]: what their lines say of it.

pub mod body;
pub mod body_channel;
pub mod control_messages;
pub mod control_pings;
mod directions;
pub mod framing;
pub mod gathered_writes;
pub mod h2_error;
#[cfg(test)]
mod h2_pair;
pub mod h2_received;
pub mod h2_send;
pub mod headers;
pub mod inbound;
pub mod join;
pub mod late_end;
#[cfg(test)]
mod loopback;
pub mod mask;
pub mod named;
mod pass_writes;
pub mod raw_targets;
pub mod splice;
pub mod stall_budget;
pub mod status;
pub mod stream_task;
pub mod strict_http1;
mod until_refused;
pub mod upgrade;
pub mod watch_end;

pub use body::{Meter, RelayBody, RelayError};
pub use h2_received::H2Received;
pub use inbound::Inbound;
