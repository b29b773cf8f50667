//! What calls: connections of HTTP/1.1 that cost little, many of them at once, either as
//! fast as they are answered or at a rate that does not give way.
//!
//! - [`entry`]: whom to call and how; [`connection`]: one connection, [`body`] what an
//!   answer's body is framed by.
//! - [`closed_loop`] finds the most that is carried, and says nothing of waiting: who is
//!   answered late asks late.
//! - [`constant_rate`] asks when it is due ([`pacer`]), and counts from then.

pub mod body;
pub mod closed_loop;
pub mod connection;
pub mod constant_rate;
pub mod entry;
pub mod latencies;
pub mod pacer;

pub use connection::Connection;
pub use entry::Entry;
pub use latencies::Latencies;
