//! How an image is run.

use std::collections::{BTreeMap, BTreeSet};

/// How an image is run; empty fields are left out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Which machine its binaries are for.
    pub architecture: Architecture,
    /// Who runs it, like `65532:65532`; root if empty.
    pub user: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments, which a user may replace.
    pub command: Vec<String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The folder it starts in.
    pub working_directory: String,
    /// Ports that it listens on, like `8443/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Folders that are volumes.
    pub volumes: BTreeSet<String>,
    /// The signal that ends it, like `SIGTERM`, which is the default.
    pub stop_signal: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A machine's architecture, by default this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64
    Amd64,
    /// 64-bit ARM
    Arm64,
}

impl Architecture {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl Default for Architecture {
    fn default() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else {
            Self::Amd64
        }
    }
}
