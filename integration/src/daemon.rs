//! Another project's server that a test runs: at an address of its own, until it is
//! dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use local_kubernetes::process::{Process, Program, Spawner};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::chain::SOON;
use crate::wait::until;

/// Runs in a folder of its own.
pub struct Daemon {
    pub address: SocketAddr,
    // In this order: the process ends before who started it.
    process: Process,
    _spawner: Spawner,
    folder: TempDir,
}

/// Those that are run here cannot be told to choose a port and say which; so each has an
/// address of its own among loopback's, where every port is free.
pub fn own_address(port: u16) -> SocketAddr {
    SocketAddr::from((own_host(), port))
}

/// One of 127.0.0.0/8 that nobody else is likely to have, and not 127.0.0.1.
pub fn own_host() -> Ipv4Addr {
    let [a, b, c] = rand::random::<[u8; 3]>();
    Ipv4Addr::new(127, a | 1, b, c | 1)
}

impl Daemon {
    /// Starts a program, which is to be configured by what is in `folder`, and waits until
    /// somebody listens at `address`.
    pub async fn start(
        name: &'static str,
        arguments: &[&str],
        folder: TempDir,
        address: SocketAddr,
    ) -> Result<Self> {
        let spawner = Spawner::new()?;
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let mut process = spawner.spawn(&Program {
            name,
            binary: &PathBuf::from(name),
            arguments: &arguments,
            folder: folder.path(),
        })?;
        until(&format!("the start of {name}"), SOON, || {
            let running = process.must_run();
            async move {
                running?;
                Ok(TcpStream::connect(address).await.ok())
            }
        })
        .await?;
        Ok(Self {
            address,
            process,
            _spawner: spawner,
            folder,
        })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has printed.
    pub fn printed(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.process.log())?)
    }

    /// # Errors
    /// It has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.process.must_run()
    }

    /// SIGKILL, of whatever it has started, too.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }
}
