//! Both ends of a measurement at as little CPU time as HTTP/1.1 can be had for: what
//! they do not take is left to the proxy between them.

pub mod caller;
pub mod event;
pub mod origin;
