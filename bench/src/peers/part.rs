//! One process of a tunnel.

use std::any::Any;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::cpu;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Server,
    Client,
    /// Behind the client, before what is called.
    Proxy,
}

/// A process and those that it has started. It ends when this is dropped.
pub struct Part {
    pub role: Role,
    id: u32,
    _held: Box<dyn Any>,
}

impl Part {
    pub fn new(role: Role, id: u32, held: impl Any) -> Self {
        Self {
            role,
            id,
            _held: Box::new(held),
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<Duration> {
        cpu::of_family(self.id)
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> Result<u64> {
        cpu::resident_of_family(self.id)
    }
}
