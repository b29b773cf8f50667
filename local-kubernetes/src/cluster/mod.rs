//! A real cluster that runs pods: `kind`'s, whose node is a container.

mod engine;
mod kind;
mod own_engine;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub use engine::{Engine, NETWORK};
use kind::Kind;

use crate::Binaries;
use crate::cache;
use crate::command::run;
use crate::environment::cache_folder;

/// A running cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: String,
    engine: Engine,
    kind: Kind,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
}

/// What there is of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its node is there, but its API server does not say that it is ready.
    NotReady(String),
    /// Its API server is ready.
    Ready,
}

/// The name that kind gives a cluster's only node.
fn node(cluster: &str) -> String {
    format!("{cluster}-control-plane")
}

/// Gets all that a cluster is made from, so that making one takes seconds: the
/// engine, kind, and the node image. See [`Cluster::up`].
///
/// # Errors
/// As there.
pub fn prepare(progress: &dyn Fn(&str)) -> Result<()> {
    let _lock = lock(progress)?;
    let engine = Engine::obtain(progress)?;
    Kind::obtain(&engine, progress)?.prepare(progress)
}

/// Ends the engine if it is ours and runs nothing, as [`Cluster::down`] does.
///
/// # Errors
/// If the engine fails.
pub fn release(progress: &dyn Fn(&str)) -> Result<()> {
    let _lock = lock(progress)?;
    match Engine::find_or_revive(progress)? {
        Some(engine) => engine.stop_if_ours_and_idle(progress),
        None => Ok(()),
    }
}

/// Held while a cluster is made or deleted, by whichever checkout: to another a
/// half-made cluster would look broken, and its engine idle.
fn lock(progress: &dyn Fn(&str)) -> Result<File> {
    cache::lock(&folder()?.join("lock"), progress)
}

/// Where kubeconfigs are.
fn folder() -> Result<PathBuf> {
    let folder = cache_folder()?.join("clusters");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

impl Cluster {
    /// The cluster `name`, made if it is not there or does not answer, with the
    /// images in `archives` loaded into its node.
    ///
    /// The container engine is the one that `DOCKER_HOST` or docker's default
    /// socket leads to, else one of our own, which is started as root.
    ///
    /// The node image is kind's published one where a registry can be reached,
    /// else one that is built once, which needs root, debootstrap and minutes.
    ///
    /// Blocks; `progress` is given lines to show.
    ///
    /// # Errors
    /// If a part is missing: the message says what to install.
    pub fn up(name: &str, archives: &[PathBuf], progress: &dyn Fn(&str)) -> Result<Self> {
        let _lock = lock(progress)?;
        Self::up_alone(name, archives, progress)
    }

    fn up_alone(name: &str, archives: &[PathBuf], progress: &dyn Fn(&str)) -> Result<Self> {
        let engine = Engine::obtain(progress)?;
        let there = engine.has_container(&node(name))?;
        let cluster = Self::of(name, engine, progress)?;
        if there && cluster.status() == Status::Ready {
            progress(&format!("the cluster {name} is there"));
        } else {
            // What does not answer, or was left half-made.
            cluster.kind.delete(name, &cluster.kubeconfig)?;
            cluster.create(progress)?;
        }
        for archive in archives {
            cluster.load(archive)?;
        }
        Ok(cluster)
    }

    /// A new cluster `name`; one that is there is deleted first. See [`Self::up`].
    ///
    /// # Errors
    /// As there.
    pub fn fresh(name: &str, archives: &[PathBuf], progress: &dyn Fn(&str)) -> Result<Self> {
        let _lock = lock(progress)?;
        if let Some(old) = Self::find(name, progress)? {
            old.kind.delete(name, &old.kubeconfig)?;
        }
        Self::up_alone(name, archives, progress)
    }

    /// The cluster `name`, if it is there.
    ///
    /// # Errors
    /// If kind or kubectl cannot be had.
    pub fn find(name: &str, progress: &dyn Fn(&str)) -> Result<Option<Self>> {
        match Engine::find()? {
            Some(engine) if engine.has_container(&node(name))? => {
                Self::of(name, engine, progress).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn of(name: &str, engine: Engine, progress: &dyn Fn(&str)) -> Result<Self> {
        let kind = Kind::obtain(&engine, progress)?;
        let folder = folder()?;
        Ok(Self {
            name: name.to_owned(),
            engine,
            kind,
            kubectl: Binaries::obtain(progress)?.kubectl,
            kubeconfig: folder.join(format!("{name}.kubeconfig")),
        })
    }

    fn create(&self, progress: &dyn Fn(&str)) -> Result<()> {
        self.kind.create(&self.name, &self.kubeconfig, progress)?;
        // kind waits for the node only. Pods that start earlier wait for it, and
        // those that ask for names would fail.
        progress("waiting for the cluster's DNS");
        run(self.kubectl().args([
            "--namespace=kube-system",
            "rollout",
            "status",
            "deployment/coredns",
            "--timeout=180s",
        ]))
    }

    /// Whether it answers.
    pub fn status(&self) -> Status {
        match self.ask_whether_ready() {
            Ok(()) => Status::Ready,
            Err(error) => Status::NotReady(format!("{error:#}")),
        }
    }

    fn ask_whether_ready(&self) -> Result<()> {
        // The file may be another checkout's, or lost.
        self.kind.write_kubeconfig(&self.name, &self.kubeconfig)?;
        run(self
            .kubectl()
            .args(["get", "--raw=/readyz", "--request-timeout=5s"]))
    }

    /// Loads the image in `archive` into the node.
    ///
    /// # Errors
    /// If the archive is missing or is none.
    pub fn load(&self, archive: &Path) -> Result<()> {
        ensure!(archive.is_file(), "{} is not there", archive.display());
        self.kind.load(&self.name, archive)
    }

    /// Deletes the cluster, and ends the engine if it is ours and runs nothing
    /// else. Without a cluster it is no error.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn down(name: &str, progress: &dyn Fn(&str)) -> Result<()> {
        let _lock = lock(progress)?;
        let Some(engine) = Engine::find_or_revive(progress)? else {
            progress("no container engine runs, so there is no cluster");
            return Ok(());
        };
        if engine.has_container(&node(name))? {
            return Self::of(name, engine, progress)?.delete_alone(progress);
        }
        progress(&format!("there is no cluster {name}"));
        engine.stop_if_ours_and_idle(progress)
    }

    /// As [`Self::down`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(self, progress: &dyn Fn(&str)) -> Result<()> {
        let _lock = lock(progress)?;
        self.delete_alone(progress)
    }

    fn delete_alone(self, progress: &dyn Fn(&str)) -> Result<()> {
        self.kind.delete(&self.name, &self.kubeconfig)?;
        progress(&format!("the cluster {} is gone", self.name));
        self.engine.stop_if_ours_and_idle(progress)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The administrator's kubeconfig, which leads to loopback.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The engine that runs its node.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The name of its only node, which is that of its container, too.
    pub fn node(&self) -> String {
        node(&self.name)
    }

    /// kubectl, as the cluster's administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }
}
