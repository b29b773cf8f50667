//! A sidecar before the suite's control plane, with a namespace for one test.

use std::process::Output;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::sidecar::Sidecar;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

pub(crate) struct Stage {
    pub(crate) sidecar: Sidecar,
    pub(crate) namespace: &'static str,
    pub(crate) environment: Arc<Environment>,
}

impl Stage {
    /// A sidecar with these flags.
    pub(crate) async fn start(
        environment: Arc<Environment>,
        namespace: &'static str,
        flags: &[&str],
    ) -> Result<Self> {
        let control_plane = environment.kubernetes().await?;
        control_plane.create_namespace(namespace).await?;
        let api_server = environment.api_server().await?;
        let folder = tempfile::Builder::new()
            .prefix("culvert-clients-")
            .tempdir()?;
        let ca_file = folder.path().join("ca.crt");
        std::fs::write(&ca_file, &api_server.ca_pem)?;
        let kubeconfig = Kubeconfig {
            server: &api_server.url,
            ca_file: &ca_file,
            credential: Credential::Token(&api_server.token),
            proxy_url: None,
        };
        kubeconfig.write(&folder.path().join("kubeconfig"))?;
        let flags = [&["--kubeconfig=kubeconfig"], flags].concat();
        Ok(Self {
            sidecar: Sidecar::start(folder, &flags).await?,
            namespace,
            environment,
        })
    }

    /// The path of the namespace's config maps.
    pub(crate) fn config_maps(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    /// An object as the API server itself has it.
    pub(crate) async fn stored(&self, path: &str) -> Result<Value> {
        let mut kubectl = Command::from(self.environment.kubernetes().await?.kubectl_command());
        let output = run(kubectl.args(["get", "--raw", path])).await?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Nothing of what it was told is in the log, and it has not panicked.
    pub(crate) fn stop(self) -> Result<()> {
        self.sidecar.service.must_not_have_panicked()?;
        let log = self.sidecar.log();
        self.environment.secrets.must_not_be_in_file(&log)
    }
}

/// A program that is to end well, soon.
pub(crate) async fn run(command: &mut Command) -> Result<Output> {
    let output = timeout(SOON * 3, command.kill_on_drop(true).output()).await;
    let output = output.with_context(|| format!("{command:?} has not ended"))??;
    ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
