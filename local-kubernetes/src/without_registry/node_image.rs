//! The node image: built once, and kept by the container engine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::go_commands::NODE;
use super::system_images::{self, REPOSITORY};
use super::{node_root, preload};
use crate::binaries::built;
use crate::cluster::Engine;
use crate::environment::cache_folder;
use crate::go_commands::{KIND, KUBERNETES, cache_key};

/// A node image that was built here.
pub(crate) struct NodeImage {
    /// Its name and tag.
    pub(crate) name: String,
}

impl NodeImage {
    /// The image in the engine, which is built there first if need be: some
    /// minutes, with `progress`. Needs root, debootstrap and a C compiler.
    pub(crate) fn obtain(engine: &Engine, progress: &dyn Fn(&str)) -> Result<Self> {
        let name = format!("culvert/node:{}", tag()?);
        if !engine.has_image(&name)? {
            build(engine, &name, progress).context("cannot build the node image")?;
        }
        Ok(Self { name })
    }

    /// What kind must be told so that kubeadm uses the images within.
    pub(crate) fn kubeadm_patch() -> Result<String> {
        let [(_, etcd), (_, coredns)] = system_images::tags()?;
        Ok(format!(
            "kind: ClusterConfiguration\n\
             imageRepository: {REPOSITORY}\n\
             dns:\n  imageRepository: {REPOSITORY}\n  imageTag: {coredns}\n\
             etcd:\n  local:\n    imageTag: {etcd}\n    extraArgs:\n    - name: unsafe-no-fsync\n      value: \"true\"\n"
        ))
    }
}

/// Differs whenever the image could.
fn tag() -> Result<String> {
    let mut hash = Sha256::new();
    let commands = cache_key(&NODE)?;
    for input in [commands.as_str(), KIND.version()?]
        .iter()
        .copied()
        .chain(node_root::inputs())
    {
        hash.update(input.len().to_be_bytes());
        hash.update(input);
    }
    let digest = HEXLOWER.encode(&hash.finalize()[..6]);
    Ok(format!("{}-{digest}", KUBERNETES.version()?))
}

fn build(engine: &Engine, name: &str, progress: &dyn Fn(&str)) -> Result<()> {
    let binaries = built(&NODE, progress)?;
    // Beside the cache, not in /tmp: that may be memory, or lack devices.
    let folder = tempfile::Builder::new()
        .prefix("node-image-")
        .tempdir_in(cache_folder()?)?;
    let made = node_root::make(folder.path(), &binaries, progress)?;
    progress("the images of Kubernetes' own pods, into the node");
    let archives = system_images::write(folder.path(), &binaries, &made.kube_proxy)?;
    preload::load(&made.root, &binaries, folder.path(), &archives)?;
    progress("the node image, into the container engine");
    import(engine, &made.root, name)
}

/// Streams the root into the engine.
fn import(engine: &Engine, root: &Path, name: &str) -> Result<()> {
    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--xattrs", "--directory"])
        .arg(root)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tar")?;
    let stdout = tar.stdout.take().context("tar has no output")?;
    let import = engine
        .docker()
        .args(["import"])
        .args([
            "--change",
            r#"ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]"#,
        ])
        .args(["--change", "ENV container=docker"])
        .args(["-", name])
        .stdin(stdout)
        .output()?;
    let status = tar.wait()?;
    // First: tar fails, too, when nobody reads on.
    if !import.status.success() {
        bail!(
            "docker import: {}",
            String::from_utf8_lossy(&import.stderr).trim_end()
        );
    }
    if !status.success() {
        bail!("tar failed ({status})");
    }
    Ok(())
}
