//! What the tests share: a cluster, tunnel-server beside it, and a connector in it
//! that may do everything.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use integration::connect_proxy::ConnectProxy;
use integration::secrets::Secrets;
use integration::suite::Shared;
use local_kubernetes::cluster::Cluster;
use local_kubernetes::to_stderr;
use tempfile::TempDir;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::connector::Connector;
use crate::images;
use crate::server::Server;
use crate::workload;

/// How long a step may take that takes a second or two on an idle machine: an
/// image to start, a pod to be ready.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An existing cluster to use, and to leave there: `cargo xtask cluster up` makes
/// one in which tests start sooner.
const CLUSTER: &str = "CULVERT_CLUSTER";

#[derive(Default)]
pub(crate) struct Stage {
    set: OnceCell<Set>,
    turns: RwLock<()>,
}

pub(crate) struct Set {
    pub(crate) cluster: Cluster,
    pub(crate) server: Server,
    pub(crate) secrets: Arc<Secrets>,
    connector: OnceCell<Connector>,
    connect_proxy: ConnectProxy,
    folder: TempDir,
    /// The names of cluster and server are fixed: one run at a time, a second waits.
    _turn: File,
}

impl Stage {
    pub(crate) async fn set(&self) -> Result<&Set> {
        self.set.get_or_try_init(Set::build).await
    }

    /// For a test beside which others may run.
    pub(crate) async fn together(&self) -> RwLockReadGuard<'_, ()> {
        self.turns.read().await
    }

    /// For a test that others would notice.
    pub(crate) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.turns.write().await
    }
}

impl Set {
    async fn build() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("culvert-pod-").tempdir()?;
        // The server in its container is another user.
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let path = folder.path().to_owned();
        let turn = tokio::task::spawn_blocking(turn).await??;
        let cluster = tokio::task::spawn_blocking(move || cluster(&path)).await??;
        let server = Server::start(folder.path()).await?;
        let connect_proxy = ConnectProxy::start(server.address).await?;
        let set = Self {
            cluster,
            server,
            secrets: Arc::default(),
            connector: OnceCell::new(),
            connect_proxy,
            folder,
            _turn: turn,
        };
        // In a cluster that is not new: of tests that failed.
        set.admin(&["delete", "namespace", "--selector", workload::LABEL])
            .await?;
        Ok(set)
    }

    /// The connector that most tests share. It may do everything, and allows exec.
    pub(crate) async fn connector(&self) -> Result<&Connector> {
        self.connector
            .get_or_try_init(|| Connector::install(self, "prod", Connector::MIGHTY))
            .await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of a CONNECT proxy that knows the server's hostnames.
    pub(crate) fn connect_proxy(&self) -> String {
        self.connect_proxy.url()
    }

    /// kubectl as the cluster's administrator, past the tunnel; gives what it
    /// prints.
    pub(crate) async fn admin(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::from(self.cluster.kubectl());
        let output = command.args(arguments).kill_on_drop(true).output().await?;
        anyhow::ensure!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// As [`Self::admin`], with this document on its standard input.
    pub(crate) async fn admin_apply(&self, document: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new_in(self.folder())?;
        std::fs::write(file.path(), document)?;
        let path = file.path().to_str().context("a file's name")?;
        self.admin(&["apply", "--server-side", "-f", path]).await?;
        Ok(())
    }
}

impl Shared for Stage {
    /// Searches what the containers printed for secrets, and takes all away.
    async fn stop(self) -> Result<()> {
        let Some(set) = self.set.into_inner() else {
            return Ok(());
        };
        let searched = search(&set).await;
        if let Some(connector) = set.connector.get() {
            connector.uninstall(&set).await?;
        }
        set.server.remove().await?;
        if std::env::var_os(CLUSTER).is_none() {
            tokio::task::spawn_blocking(move || set.cluster.delete(&to_stderr)).await??;
        }
        searched
    }
}

async fn search(set: &Set) -> Result<()> {
    set.secrets
        .must_not_be_in("the server's log", &set.server.log().await?)?;
    if let Some(connector) = set.connector.get() {
        let log = connector.log(set).await?;
        set.secrets.must_not_be_in("the connector's log", &log)?;
    }
    Ok(())
}

/// Waits for other runs of these tests on this machine.
fn turn() -> Result<File> {
    let folder = local_kubernetes::cache_folder()?;
    std::fs::create_dir_all(&folder)?;
    let file = File::create(folder.join("pod-tests.lock"))?;
    file.lock()?;
    Ok(file)
}

fn cluster(folder: &Path) -> Result<Cluster> {
    let archives = [
        images::ours("proxy-sidecar")?,
        images::ours("tunnel-client")?,
        images::ours("tunnel-server")?,
        images::write_shell(folder)?,
    ];
    let cluster = match std::env::var(CLUSTER) {
        Ok(name) => Cluster::up(&name, &archives, &to_stderr)?,
        Err(_) => Cluster::fresh("culvert-test", &archives, &to_stderr)?,
    };
    load_into_engine(&cluster, &images::ours("tunnel-server")?)?;
    Ok(cluster)
}

fn load_into_engine(cluster: &Cluster, archive: &PathBuf) -> Result<()> {
    let output = cluster
        .engine()
        .docker()
        .args(["load", "--quiet", "--input"])
        .arg(archive)
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "docker load: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
