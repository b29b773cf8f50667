//! `kubectl port-forward` by the cluster's administrator, past the tunnel.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::connector::Connector;
use crate::stage::{SOON, Set};

/// Forwards to a port of the connector's only pod until it is dropped.
pub(crate) struct AdminForward {
    _kubectl: Child,
    address: SocketAddr,
}

impl AdminForward {
    pub(crate) async fn start(connector: &Connector, set: &Set, port: u16) -> Result<Self> {
        let pod = connector.pod(set).await?;
        let namespace = format!("--namespace={}", connector.namespace);
        let mut kubectl = Command::from(set.cluster.kubectl())
            .args(["port-forward", &pod, &namespace, &format!(":{port}")])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(kubectl.stdout.take().context("stdout")?).lines();
        let line = timeout(SOON, lines.next_line())
            .await
            .context("kubectl forwards nothing")??
            .context("kubectl has ended")?;
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(' ').next())
            .with_context(|| format!("no address in {line:?}"))?
            .parse()?;
        // What it says about each connection fits into the pipe.
        kubectl.stdout = Some(lines.into_inner().into_inner());
        Ok(Self {
            _kubectl: kubectl,
            address,
        })
    }

    /// Asks, as somebody in the pod would.
    pub(crate) async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let request = client.get(format!("http://{}{path}", self.address));
        Ok(request.header("host", "localhost:8001").send().await?)
    }
}
