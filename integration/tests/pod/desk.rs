//! A user's desk: a folder, a shell, and the tools that documents tell to use.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Result, ensure};
use integration::binaries::culvert;
use local_kubernetes::{Binaries, obtain_helm, obtain_kind, to_stderr};
use tokio::process::Command;

use crate::stage::Set;

pub(crate) struct Desk {
    /// Where the user is.
    pub(crate) folder: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl Desk {
    /// With kubectl and kind for the cluster and its engine.
    pub(crate) async fn new(set: &Set, name: &str) -> Result<Self> {
        let folder = set.folder().join(format!("desk-{name}"));
        let tools = folder.join(".tools");
        std::fs::create_dir_all(&tools)?;
        let (kubectl, helm, kind) = tokio::task::spawn_blocking(|| {
            anyhow::Ok((
                Binaries::obtain(&to_stderr)?.kubectl,
                obtain_helm(&to_stderr)?,
                obtain_kind(&to_stderr)?,
            ))
        })
        .await??;
        let server = culvert("tunnel-server")?;
        for (name, tool) in [
            ("kubectl", kubectl),
            ("helm", helm),
            ("kind", kind),
            ("tunnel-server", server),
        ] {
            std::os::unix::fs::symlink(tool, tools.join(name))?;
        }
        let mut path = tools.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let helms = |name: &str| tools.join("helm-data").join(name).into_os_string();
        let mut environment = vec![
            ("PATH", path),
            ("KUBECONFIG", set.cluster.kubeconfig().into()),
            ("KIND_CLUSTER_NAME", set.cluster.name().into()),
            ("KIND_EXPERIMENTAL_PROVIDER", "docker".into()),
            ("HELM_CACHE_HOME", helms("cache")),
            ("HELM_CONFIG_HOME", helms("config")),
            ("HELM_DATA_HOME", helms("data")),
        ];
        if let Some(host) = set.cluster.engine().host() {
            environment.push(("DOCKER_HOST", host.into()));
        }
        Ok(Self {
            folder,
            environment,
        })
    }

    /// From now on programs reach hosts through this proxy.
    pub(crate) fn export_proxy(&mut self, url: &str) {
        self.environment.push(("HTTPS_PROXY", url.into()));
        // The API server that the administrator's kubectl calls.
        self.environment.push(("NO_PROXY", "127.0.0.1".into()));
    }

    /// Runs a line as the user's shell does, to its end.
    pub(crate) async fn output(&self, line: &str) -> Result<Output> {
        Ok(Command::new("/bin/sh")
            .args(["-ec", line])
            .current_dir(&self.folder)
            .envs(self.environment.iter().cloned())
            .env_remove("no_proxy")
            .kill_on_drop(true)
            .output()
            .await?)
    }

    /// As [`Self::output`]; it must succeed. Gives what it prints.
    pub(crate) async fn types(&self, line: &str) -> Result<String> {
        let output = self.output(line).await?;
        ensure!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Whether there is such a program.
    pub(crate) async fn has(&self, program: &str) -> Result<bool> {
        let output = self.output(&format!("command -v {program}")).await?;
        Ok(output.status.success())
    }
}
