//! A real cluster that runs pods: `kind`'s, whose node is a container.

mod engine;
mod kind;
mod own_engine;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub use engine::{Engine, NETWORK};
use kind::Kind;

use crate::Binaries;
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
    /// No container engine answers, so there are no clusters.
    NoEngine,
    /// There is no such cluster.
    Absent,
    /// Its node is there, but its API server does not say that it is ready.
    NotReady(String),
    /// Its API server is ready.
    Ready,
}

/// Gets all that a cluster is made from, so that making one takes seconds: the
/// engine, kind, and the node image. See [`Cluster::up`].
///
/// # Errors
/// As there.
pub fn prepare(progress: &dyn Fn(&str)) -> Result<()> {
    let engine = Engine::obtain(progress)?;
    Kind::obtain(&engine, progress)?.prepare(progress)
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
        let engine = Engine::obtain(progress)?;
        let cluster = Self::of(name, engine, progress)?;
        match cluster.status()? {
            Status::Ready => progress(&format!("the cluster {name} is there")),
            Status::NotReady(_) => {
                cluster.kind.delete(name, &cluster.kubeconfig)?;
                cluster.create(progress)?;
            }
            Status::Absent | Status::NoEngine => cluster.create(progress)?,
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
        if let Some(old) = Self::find(name, progress)? {
            old.kind.delete(name, &old.kubeconfig)?;
        }
        Self::up(name, archives, progress)
    }

    /// The cluster `name`, if it is there.
    ///
    /// # Errors
    /// If kind or kubectl cannot be had.
    pub fn find(name: &str, progress: &dyn Fn(&str)) -> Result<Option<Self>> {
        let Some(engine) = Engine::find()? else {
            return Ok(None);
        };
        let cluster = Self::of(name, engine, progress)?;
        Ok((cluster.status()? != Status::Absent).then_some(cluster))
    }

    fn of(name: &str, engine: Engine, progress: &dyn Fn(&str)) -> Result<Self> {
        let kind = Kind::obtain(&engine, progress)?;
        let folder = cache_folder()?.join("clusters");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
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
        crate::command::run(self.kubectl().args([
            "--namespace=kube-system",
            "rollout",
            "status",
            "deployment/coredns",
            "--timeout=180s",
        ]))
    }

    /// What there is of it.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub fn status(&self) -> Result<Status> {
        if !self.kind.clusters()?.contains(&self.name) {
            return Ok(Status::Absent);
        }
        // The kubeconfig may be another checkout's, or lost.
        self.kind.write_kubeconfig(&self.name, &self.kubeconfig)?;
        let ready = crate::command::output(
            self.kubectl()
                .args(["get", "--raw=/readyz", "--request-timeout=5s"]),
        );
        Ok(match ready {
            Ok(_) => Status::Ready,
            Err(error) => Status::NotReady(format!("{error:#}")),
        })
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
        let Some(engine) = Engine::find()? else {
            progress("no container engine runs, so there is no cluster");
            return Ok(());
        };
        let cluster = Self::of(name, engine, progress)?;
        cluster.delete(progress)
    }

    /// As [`Self::down`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(self, progress: &dyn Fn(&str)) -> Result<()> {
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
        format!("{}-control-plane", self.name)
    }

    /// kubectl, as the cluster's administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }
}
