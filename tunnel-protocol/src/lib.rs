//! What crosses a link between tunnel-client and tunnel-server.
//!
//! The client dials one TLS connection and asks to upgrade it ([`handshake`]).
//! Then the roles turn: the server is the HTTP/2 client and tunnel-client the
//! HTTP/2 server on that connection. One caller's request is one stream; an
//! upgraded connection (exec, port-forward, WebSocket) is an ordinary
//! full-duplex stream with marker headers ([`upgrade`]). The first stream
//! carries [`control`] messages.
//!
//! This crate holds no socket, no clock and no source of randomness: values in,
//! values out.

pub mod carrier;
pub mod cluster_name;
pub mod control;
pub mod failure;
pub mod handshake;
pub mod header;
pub mod limits;
pub mod token;
pub mod upgrade;

pub use cluster_name::ClusterName;
pub use failure::Failure;
