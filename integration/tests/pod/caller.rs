//! A caller: kubectl by the cluster's hostname, through the tunnel.

use std::path::PathBuf;
use std::process::Output;

use anyhow::{Result, ensure};
use integration::kubeconfig::{Credential, Kubeconfig};
use local_kubernetes::Binaries;
use tokio::process::Command;
use tunnel_protocol::token::Token;

use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::Set;

/// How kubectl carries streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    WebSocket,
    Spdy,
}

impl Streams {
    pub(crate) const BOTH: [Self; 2] = [Self::WebSocket, Self::Spdy];
}

pub(crate) struct Caller {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl Caller {
    /// Of the server outside the cluster.
    pub(crate) fn new(set: &Set, cluster: &str, access_token: &Token) -> Result<Self> {
        Self::with(
            &Kubeconfig {
                server: &format!("https://{cluster}.{BASE_DOMAIN}:{PORT}"),
                ca_file: &set.server.ca_file(),
                credential: Credential::Token(access_token.expose()),
                proxy_url: Some(&set.connect_proxy()),
            },
            set.folder().join(format!("{cluster}.kubeconfig")),
        )
    }

    /// With a kubeconfig that is written to `path`.
    pub(crate) fn with(kubeconfig: &Kubeconfig<'_>, path: PathBuf) -> Result<Self> {
        kubeconfig.write(&path)?;
        Ok(Self {
            kubeconfig: path,
            kubectl: Binaries::obtain(&local_kubernetes::to_stderr)?.kubectl,
        })
    }

    /// kubectl, which uses WebSocket where there is a choice.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_over(Streams::WebSocket, arguments)
    }

    /// kubectl with this kind of streams and no other to fall back to.
    pub(crate) fn command_over(&self, streams: Streams, arguments: &[&str]) -> Command {
        let websockets = match streams {
            Streams::WebSocket => "true",
            Streams::Spdy => "false",
        };
        let mut command = Command::new(&self.kubectl);
        command
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .kill_on_drop(true);
        command
    }

    /// Runs kubectl, which must fail; gives what it says about that.
    pub(crate) async fn refused(&self, arguments: &[&str]) -> Result<String> {
        self.refused_over(Streams::WebSocket, arguments).await
    }

    /// As [`Self::refused`], with this kind of streams.
    pub(crate) async fn refused_over(
        &self,
        streams: Streams,
        arguments: &[&str],
    ) -> Result<String> {
        let output = self.output(streams, arguments).await?;
        ensure!(
            !output.status.success(),
            "kubectl {arguments:?} over {streams:?} is not refused"
        );
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs kubectl to its end, whatever that is.
    pub(crate) async fn output(&self, streams: Streams, arguments: &[&str]) -> Result<Output> {
        Ok(self.command_over(streams, arguments).output().await?)
    }

    /// Runs kubectl, which must succeed; gives what it prints.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_over(Streams::WebSocket, arguments).await
    }

    /// As [`Self::kubectl`], with this kind of streams.
    pub(crate) async fn kubectl_over(
        &self,
        streams: Streams,
        arguments: &[&str],
    ) -> Result<String> {
        let output = self.output(streams, arguments).await?;
        ensure!(
            output.status.success(),
            "kubectl {arguments:?} over {streams:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}
