//! A node's files: Debian, what kind puts on top of it, and the built commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::run;
use crate::go_build::module_source;
use crate::go_commands::KIND;

const PREPARE: &str = include_str!("node/prepare.sh");
const KUBE_PROXY_ROOT: &str = include_str!("node/kube_proxy_root.sh");
const CONFIGURATION: [(&str, &str); 3] = [
    ("containerd.toml", include_str!("node/containerd.toml")),
    ("cni.conflist", include_str!("node/cni.conflist")),
    (
        "containerd.service.conf",
        include_str!("node/containerd.service.conf"),
    ),
];

/// The release that `prepare.sh` was written for.
const DEBIAN: &str = "bookworm";

/// What kind's entrypoint and units call, and what runs containers.
const PACKAGES: &str = "systemd,conntrack,iptables,nftables,iproute2,ethtool,kmod,libseccomp2,\
     ca-certificates,curl,jq,procps,runc";

/// All that the files are made from, besides the commands: part of what tells
/// one image from another.
pub(super) fn inputs() -> Vec<&'static str> {
    let mut inputs = vec![PREPARE, KUBE_PROXY_ROOT, DEBIAN, PACKAGES];
    inputs.extend(CONFIGURATION.map(|(_, text)| text));
    inputs
}

/// Makes the root in `folder`/root, and beside it the files of kube-proxy's image.
pub(super) fn make(folder: &Path, binaries: &Path, progress: &dyn Fn(&str)) -> Result<Root> {
    let root = folder.join("root");
    progress("a Debian root for the node (once; about a minute)");
    run(Command::new("debootstrap")
        .arg("--variant=minbase")
        .arg(format!("--include={PACKAGES}"))
        .arg(DEBIAN)
        .arg(&root))
    .context("cannot make a Debian root; is debootstrap installed, and are you root?")?;
    let kube_proxy = folder.join("kube-proxy-root");
    run(script(KUBE_PROXY_ROOT, "kube_proxy_root.sh")
        .arg(&root)
        .arg(&kube_proxy))?;
    let configuration = folder.join("configuration");
    fs::create_dir(&configuration)?;
    for (name, text) in CONFIGURATION {
        fs::write(configuration.join(name), text)?;
    }
    let kind_files = module_source(&KIND)?.join("images/base/files");
    run(script(PREPARE, "prepare.sh")
        .arg(&root)
        .arg(kind_files)
        .arg(binaries)
        .arg(configuration))?;
    Ok(Root { root, kube_proxy })
}

/// What [`make`] has made.
pub(super) struct Root {
    /// The node's files.
    pub(super) root: PathBuf,
    /// Those of kube-proxy's image.
    pub(super) kube_proxy: PathBuf,
}

fn script(text: &str, name: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text, name]);
    command
}
