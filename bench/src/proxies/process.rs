//! A proxy as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::server_config::new_token;
use integration::wait::until;
use local_kubernetes::process::{Process, Program, Spawner};
use tempfile::TempDir;
use tunnel_protocol::token::TokenKind;

use crate::cpu;

/// Both print it, and the address behind it.
const SERVES: &str = "Starting to serve on ";
const UP: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Kind {
    pub name: String,
    pub binary: PathBuf,
    /// Before those that all have.
    pub arguments: Vec<String>,
}

/// A running proxy.
pub struct Proxy {
    pub address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Proxy {
    /// With the flags that both have, and a token that any origin takes.
    pub async fn start(
        spawner: &Spawner,
        kind: &Kind,
        server: &str,
        ca_file: &Path,
    ) -> Result<Self> {
        let token = new_token(TokenKind::Access);
        Self::start_as(spawner, kind, server, ca_file, token.expose()).await
    }

    /// The same, with this token.
    pub async fn start_as(
        spawner: &Spawner,
        kind: &Kind,
        server: &str,
        ca_file: &Path,
        own: &str,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("culvert-bench-")
            .tempdir()?;
        let token = folder.path().join("token");
        std::fs::write(&token, own)?;
        let kubeconfig = Kubeconfig {
            server,
            ca_file,
            credential: Credential::File(&token),
            proxy_url: None,
        };
        kubeconfig.write(&folder.path().join("kubeconfig"))?;
        let mut arguments = kind.arguments.clone();
        arguments.extend(["--port=0", "--kubeconfig=kubeconfig"].map(str::to_owned));
        let mut process = spawner.spawn(&Program {
            name: "proxy",
            binary: &kind.binary,
            arguments: &arguments,
            folder: folder.path(),
        })?;
        let address = until(&format!("the start of {}", kind.name), UP, || {
            let address = address(process.log());
            let running = process.must_run();
            async move { running.and(address) }
        })
        .await?;
        Ok(Self {
            address,
            process,
            _folder: folder,
        })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<Duration> {
        cpu::of_process(self.process.id())
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> Result<u64> {
        cpu::resident(self.process.id())
    }

    /// Threads.
    pub fn threads(&self) -> Result<usize> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id()))?;
        Ok(tasks.count())
    }
}

fn address(log: &Path) -> Result<Option<SocketAddr>> {
    let printed = std::fs::read_to_string(log)?;
    let mut lines = printed.split_inclusive('\n');
    let line = lines.find_map(|line| line.strip_prefix(SERVES)?.strip_suffix('\n'));
    line.map(|address| address.parse().context("no address"))
        .transpose()
}
