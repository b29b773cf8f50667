//! What a peer is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use integration::wait::until;
use local_kubernetes::process::{Program, Spawner};
use tokio::net::TcpStream;

use super::identity::Identity;
use super::{Part, Programs, Role};

/// How long a process may take to listen.
pub const UP: Duration = Duration::from_secs(20);

/// A folder and addresses of one tunnel's own, and what lies around it.
pub struct Place<'a> {
    pub spawner: &'a Spawner,
    pub programs: &'a Programs,
    pub folder: PathBuf,
    /// Where the server listens.
    pub host: Ipv4Addr,
    /// Where the clients' way to the server begins, if it is a long one.
    pub far: Ipv4Addr,
    pub identity: Identity,
    /// What both sides know.
    pub secret: String,
    /// What is called.
    pub upstream: SocketAddr,
    /// Where clients dial; set when the server listens.
    pub dial: SocketAddr,
}

impl Place<'_> {
    /// A port of the server.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.host, port))
    }

    /// Writes a file and returns its name.
    pub fn write(&self, name: &str, content: &str) -> Result<String> {
        std::fs::write(self.folder.join(name), content)
            .with_context(|| format!("cannot write {name}"))?;
        Ok(name.to_owned())
    }

    /// Starts one of the peer's programs, in the folder.
    pub fn start<A: Into<String>>(
        &self,
        role: Role,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Part> {
        self.start_at(role, &self.programs.path(program), arguments)
    }

    /// Starts a program, in the folder.
    pub fn start_at<A: Into<String>>(
        &self,
        role: Role,
        binary: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Part> {
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        let process = self.spawner.spawn(&Program {
            name: match role {
                Role::Server => "server",
                Role::Client => "client",
                Role::Proxy => "proxy",
            },
            binary,
            arguments: &arguments,
            folder: &self.folder,
        })?;
        Ok(Part::new(role, process.id(), process))
    }

    /// Waits until something listens there: some clients dial once only.
    pub async fn listens(&self, address: SocketAddr) -> Result<()> {
        until(&format!("listening at {address}"), UP, || async move {
            Ok(TcpStream::connect(address).await.ok())
        })
        .await
        .map(drop)
        .with_context(|| self.logs())
    }

    /// The ends of what the processes printed.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for name in [
            "server.log",
            "client.log",
            "tunnel-server.log",
            "tunnel-client.log",
        ] {
            if let Ok(log) = std::fs::read_to_string(self.folder.join(name)) {
                let lines: Vec<_> = log.lines().rev().take(5).collect();
                for line in lines.iter().rev() {
                    all.push_str(&format!("\n{name}: {line}"));
                }
            }
        }
        format!("they printed:{all}")
    }
}
