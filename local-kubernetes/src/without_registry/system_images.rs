//! The images of Kubernetes' own pods, each a binary in an otherwise empty image.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use image_archive::{Config, Content, Image, Layer};

use super::go_commands::COREDNS;
use crate::command::run;
use crate::go_build::module_source;
use crate::go_commands::{ETCD, KUBERNETES};

/// Where kubeadm is told to take images from. Nothing is ever fetched there.
pub(super) const REPOSITORY: &str = "culvert.local/kubernetes";

/// In `node/containerd.toml`, too.
const PAUSE_TAG: &str = "1";

/// etcd's and CoreDNS' tags, which kubeadm must be told.
pub(super) fn tags() -> Result<[(&'static str, &'static str); 2]> {
    Ok([("etcd", ETCD.version()?), ("coredns", COREDNS.version()?)])
}

/// Writes the archives into `folder`. `binaries` holds the commands, and
/// `kube_proxy_root` the files that kube-proxy needs beside itself.
pub(super) fn write(
    folder: &Path,
    binaries: &Path,
    kube_proxy_root: &Path,
) -> Result<Vec<PathBuf>> {
    let kubernetes = KUBERNETES.version()?;
    let mut archives = Vec::new();
    // kubeadm's manifests call each by its bare name.
    for name in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        archives.push(archive(
            folder,
            name,
            kubernetes,
            &binaries.join(name),
            &[],
            Layer::new(),
        )?);
    }
    let mut kube_proxy = Layer::new();
    kube_proxy.tree(kube_proxy_root, "")?;
    let binary = binaries.join("kube-proxy");
    archives.push(archive(
        folder,
        "kube-proxy",
        kubernetes,
        &binary,
        &[],
        kube_proxy,
    )?);
    for (name, tag) in tags()? {
        // kubeadm's manifest for CoreDNS gives it arguments only.
        let entrypoint: &[&str] = if name == "coredns" {
            &["/usr/local/bin/coredns"]
        } else {
            &[]
        };
        archives.push(archive(
            folder,
            name,
            tag,
            &binaries.join(name),
            entrypoint,
            Layer::new(),
        )?);
    }
    let pause = compile_pause(folder)?;
    archives.push(archive(
        folder,
        "pause",
        PAUSE_TAG,
        &pause,
        &["/usr/local/bin/pause"],
        Layer::new(),
    )?);
    Ok(archives)
}

fn archive(
    folder: &Path,
    name: &str,
    tag: &str,
    binary: &Path,
    entrypoint: &[&str],
    mut layer: Layer,
) -> Result<PathBuf> {
    let inside = format!("usr/local/bin/{name}");
    layer.file(inside, Content::File(binary.to_owned()), 0o755)?;
    let image = Image {
        reference: format!("{REPOSITORY}/{name}:{tag}").parse()?,
        config: Config {
            entrypoint: entrypoint.iter().map(|&word| word.to_owned()).collect(),
            environment: [("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Config::default()
        },
        layers: vec![layer],
        time: 0,
    };
    let path = folder.join(format!("{name}.tar"));
    image.write(&path)?;
    Ok(path)
}

/// Kubernetes' own `pause`, the first process of each pod: C, compiled statically
/// as its image holds nothing else.
fn compile_pause(folder: &Path) -> Result<PathBuf> {
    let source = module_source(&KUBERNETES)?.join("build/pause/linux/pause.c");
    let binary = folder.join("pause");
    run(Command::new("cc")
        .args(["-Os", "-static", "-s", "-DVERSION=culvert", "-o"])
        .arg(&binary)
        .arg(&source))
    .context(
        "cannot compile pause; is a C compiler installed (`apt-get install gcc libc6-dev`)?",
    )?;
    Ok(binary)
}
