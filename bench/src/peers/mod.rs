//! Other tunnels, and ours: what builds, starts and reaches each of them, a file a peer.
//!
//! [`Peer`] is one of them; [`Tunnel`] one that runs. [`build`] makes their programs from
//! public sources at pinned versions; [`place`] is what they are started with.

mod apiserver_network_proxy;
mod bore;
pub mod build;
mod chisel;
mod culvert;
mod frp;
pub mod identity;
mod inlets;
mod localtunnel;
pub mod part;
mod piko;
pub mod place;
mod rathole;
mod remotedialer;
mod ssh;
mod tunnel;
mod wstunnel;

use anyhow::Result;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use build::{Programs, Workshop};
pub use part::{Part, Role};
pub use place::Place;
pub use tunnel::{Running, Tunnel};

/// What is known of a peer without running it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub name: &'static str,
    pub version: &'static str,
    /// Between its client and its server.
    pub link: Link,
    /// Between callers and its server.
    pub callers: Callers,
    pub carries: Carries,
    /// What a reader should know of how it was run.
    pub note: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    Tls,
    Ssh,
    /// SSH within TLS.
    SshInTls,
    Plain,
}

impl Link {
    pub fn text(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Ssh => "SSH",
            Self::SshInTls => "SSH in TLS",
            Self::Plain => "not encrypted",
        }
    }

    pub fn is_encrypted(self) -> bool {
        self != Self::Plain
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Callers {
    Tls,
    Plain,
}

impl About {
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("culvert")
    }
}

impl Callers {
    pub fn text(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Plain => "not encrypted",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carries {
    /// It reads requests, and could refuse one.
    Http,
    /// It relays a connection's bytes.
    Bytes,
}

impl Carries {
    pub fn text(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Bytes => "bytes",
        }
    }
}

/// A tunnel: a server that callers reach, and clients beside what is called.
#[async_trait(?Send)]
pub trait Peer {
    fn about(&self) -> About;

    /// Its programs, built if need be. Blocks for minutes.
    fn obtain(&self, workshop: &Workshop) -> Result<Programs>;

    /// Starts a server that so many clients may link to, each with a target of its own.
    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running>;

    /// Starts the client of that number. It dials [`Place::dial`].
    async fn client(&self, place: &Place<'_>, running: &Running, number: usize) -> Result<Part>;

    /// Why it cannot be reached over a longer way, if it cannot.
    fn stays_near(&self) -> Option<&'static str> {
        None
    }
}

/// Ours.
pub fn ours() -> &'static dyn Peer {
    &culvert::Culvert {
        callers: Callers::Tls,
    }
}

/// Ours first, then the others by name.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(culvert::Culvert {
            callers: Callers::Tls,
        }),
        Box::new(culvert::Culvert {
            callers: Callers::Plain,
        }),
        Box::new(apiserver_network_proxy::ApiserverNetworkProxy),
        Box::new(bore::Bore),
        Box::new(chisel::Chisel),
        Box::new(frp::Frp),
        Box::new(inlets::Inlets),
        Box::new(localtunnel::Localtunnel),
        Box::new(piko::Piko),
        Box::new(rathole::Rathole),
        Box::new(remotedialer::Remotedialer),
        Box::new(ssh::Ssh),
        Box::new(wstunnel::Wstunnel),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<_> = all().iter().map(|peer| peer.about().name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
