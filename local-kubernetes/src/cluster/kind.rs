//! Runs `kind`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Engine;
use crate::command::run;
use crate::go_build::module_source;
use crate::go_commands::KIND;
use crate::without_registry::NodeImage;
use crate::{environment, obtain_kind};

/// `kind`, for one engine.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    engine: Engine,
    binary: PathBuf,
}

/// Where a node comes from.
enum Node {
    /// One from a registry, which the engine has now.
    Published(String),
    /// One that was built here.
    Built(NodeImage),
}

impl Kind {
    pub(super) fn obtain(engine: &Engine, progress: &dyn Fn(&str)) -> Result<Self> {
        Ok(Self {
            engine: engine.clone(),
            binary: obtain_kind(progress)?,
        })
    }

    fn command(&self) -> Command {
        let mut command = self.engine.client(&self.binary);
        // Whoever has set it means another engine than docker.
        command.env("KIND_EXPERIMENTAL_PROVIDER", "docker");
        command
    }

    pub(super) fn write_kubeconfig(&self, cluster: &str, kubeconfig: &Path) -> Result<()> {
        run(self
            .command()
            .args([
                "export",
                "kubeconfig",
                "--quiet",
                "--name",
                cluster,
                "--kubeconfig",
            ])
            .arg(kubeconfig))
    }

    pub(super) fn create(
        &self,
        cluster: &str,
        kubeconfig: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<()> {
        let node = self.node(progress)?;
        let folder = tempfile::tempdir()?;
        let configuration = folder.path().join("kind.yaml");
        std::fs::write(&configuration, node.configuration()?)?;
        progress(&format!("making the cluster {cluster}"));
        run(self
            .command()
            .args([
                "create",
                "cluster",
                "--quiet",
                "--wait=120s",
                "--name",
                cluster,
            ])
            .args(["--image", node.image()])
            .arg("--config")
            .arg(&configuration)
            .arg("--kubeconfig")
            .arg(kubeconfig))
        .with_context(|| format!("cannot make the cluster {cluster}"))
    }

    pub(super) fn delete(&self, cluster: &str, kubeconfig: &Path) -> Result<()> {
        run(self
            .command()
            .args([
                "delete",
                "cluster",
                "--quiet",
                "--name",
                cluster,
                "--kubeconfig",
            ])
            .arg(kubeconfig))?;
        match std::fs::remove_file(kubeconfig) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn load(&self, cluster: &str, archive: &Path) -> Result<()> {
        run(self
            .command()
            .args(["load", "image-archive", "--quiet", "--name", cluster])
            .arg(archive))
        .with_context(|| format!("cannot load {}", archive.display()))
    }

    /// Gets the node image.
    pub(super) fn prepare(&self, progress: &dyn Fn(&str)) -> Result<()> {
        self.node(progress).map(drop)
    }

    /// The image that was named; else the published one if it can be pulled; else
    /// one that is built here.
    fn node(&self, progress: &dyn Fn(&str)) -> Result<Node> {
        if let Some(named) = environment::node_image() {
            self.pull(&named, progress)
                .with_context(|| format!("{} names it", environment::NODE_IMAGE))?;
            return Ok(Node::Published(named));
        }
        let published = published_node_image()?;
        match self.pull(&published, progress) {
            Ok(()) => Ok(Node::Published(published)),
            Err(error) => {
                let reason = error.to_string();
                let last = reason.lines().last().unwrap_or_default();
                progress(&format!("so the node image is built here: {last}"));
                NodeImage::obtain(&self.engine, progress).map(Node::Built)
            }
        }
    }

    fn pull(&self, image: &str, progress: &dyn Fn(&str)) -> Result<()> {
        if self.engine.has_image(image)? {
            return Ok(());
        }
        progress(&format!("pulling {image}"));
        run(self.engine.docker().args(["pull", "--quiet", image]))
    }
}

/// The node image that this version of kind was published with, by digest.
fn published_node_image() -> Result<String> {
    let file = module_source(&KIND)?.join("pkg/apis/config/defaults/image.go");
    let source = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    source
        .lines()
        .find_map(|line| line.strip_prefix("const Image = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .with_context(|| format!("no image in {}", file.display()))
}

impl Node {
    fn image(&self) -> &str {
        match self {
            Self::Published(name) => name,
            Self::Built(image) => &image.name,
        }
    }

    /// kind's configuration.
    fn configuration(&self) -> Result<String> {
        // The kubelet refuses version 1 of cgroups since 1.35 unless it is told.
        let mut patches = vec!["kind: KubeletConfiguration\nfailCgroupV1: false\n".to_owned()];
        let mut networking = "";
        if let Self::Built(_) = self {
            patches.push(NodeImage::kubeadm_patch()?);
            // The node has the configuration of a network in it.
            networking = "networking:\n  disableDefaultCNI: true\n";
        }
        let patches: String = patches
            .iter()
            .map(|patch| {
                let indented: String = patch.lines().map(|line| format!("  {line}\n")).collect();
                format!("- |\n{indented}")
            })
            .collect();
        Ok(format!(
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n{networking}kubeadmConfigPatches:\n{patches}nodes:\n- role: control-plane\n"
        ))
    }
}
