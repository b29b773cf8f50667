//! A request as the Kubernetes API server reads it: its `RequestInfo`.
//!
//! Whoever judges or records a request must read it as the API server does, or
//! not at all: what could be read in two ways is an error here.

mod info;
mod list_options;
mod path;

pub use info::{RequestInfo, Resource, Unreadable};
pub use path::{Ambiguous, ApiPath};
