//! Puts images into the store of a node's containerd, before there is a node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::run;
use crate::process::{Process, Program, Spawner};

/// A second on an idle machine.
const STARTED: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Loads `archives` into `root`/var/lib/containerd with the node's own containerd,
/// which runs here for that long and keeps its other files in `folder`.
pub(super) fn load(
    root: &Path,
    binaries: &Path,
    folder: &Path,
    archives: &[PathBuf],
) -> Result<()> {
    let socket = folder.join("containerd.sock");
    let configuration = folder.join("containerd-preload.toml");
    // Its plugin for Kubernetes would look for a network; it is not needed.
    fs::write(
        &configuration,
        "version = 3\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n",
    )?;
    let arguments = [
        ("--config", configuration),
        ("--root", root.join("var/lib/containerd")),
        ("--state", folder.join("containerd-state")),
        ("--address", socket.clone()),
    ]
    .into_iter()
    .flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()])
    .collect::<Vec<_>>();
    let spawner = Spawner::new()?;
    let mut containerd = spawner.spawn(&Program {
        name: "containerd",
        binary: &binaries.join("containerd"),
        arguments: &arguments,
        folder,
    })?;
    let ctr = || {
        let mut ctr = Command::new(binaries.join("ctr"));
        ctr.arg("--address")
            .arg(&socket)
            .args(["--namespace", "k8s.io"]);
        ctr
    };
    until_it_answers(&mut containerd, &ctr)?;
    for archive in archives {
        run(ctr()
            .args(["images", "import", "--snapshotter", "overlayfs"])
            .arg(archive))?;
    }
    // The layers are unpacked: their archives would only make the node larger.
    run(ctr().args(["content", "prune", "references"]))?;
    stop(containerd)
}

fn until_it_answers(containerd: &mut Process, ctr: &dyn Fn() -> Command) -> Result<()> {
    let started = Instant::now();
    while run(ctr().arg("version")).is_err() {
        containerd.must_run()?;
        if started.elapsed() > STARTED {
            bail!("containerd does not answer:\n{}", containerd.log_tail());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Lets it write its database out.
fn stop(mut containerd: Process) -> Result<()> {
    containerd.terminate()?;
    let started = Instant::now();
    while containerd.try_wait()?.is_none() {
        if started.elapsed() > STARTED {
            bail!("containerd does not end:\n{}", containerd.log_tail());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
