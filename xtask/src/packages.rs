//! The Debian packages that tests use beside Rust and Go. Installed under CI or
//! when asked; else named.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::cargo::run;

/// Whether packages may be installed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct InstallArgs {
    /// Install what is missing (always so where the variable CI is set)
    #[arg(long)]
    pub(crate) install: bool,
}

impl InstallArgs {
    pub(crate) fn allowed(self) -> bool {
        self.install || std::env::var_os("CI").is_some_and(|value| !value.is_empty())
    }
}

/// A command that must work, and the package that has it.
const NEEDED: &[(&[&str], &str)] = &[
    (&["curl", "--version"], "curl"),
    (&["setpriv", "--version"], "util-linux"),
    (&["python3", "-c", "import venv, ensurepip"], "python3-venv"),
    // A cluster with pods: its engine where none runs, and its node where no
    // registry can be reached.
    (&["docker", "--version"], "docker.io"),
    (&["dockerd", "--version"], "docker.io"),
    (&["iptables", "--version"], "iptables"),
    (&["ip", "-Version"], "iproute2"),
    (&["debootstrap", "--version"], "debootstrap"),
    // The image of the pods that tests call: it must need no library.
    (
        &["sh", "-c", "/bin/busybox true && ! ldd /bin/busybox"],
        "busybox-static",
    ),
    (&["tinyproxy", "-v"], "tinyproxy-bin"),
    (&["sh", "-c", "command -v microsocks"], "microsocks"),
    (&["squid", "-v"], "squid"),
    (&["haproxy", "-v"], "haproxy"),
    (&["nginx", "-v"], "nginx-light"),
    (
        &["test", "-e", "/usr/lib/nginx/modules/ngx_stream_module.so"],
        "libnginx-mod-stream",
    ),
    // What web pages can do; and what tells it whom to trust.
    (&["chromium", "--version"], "chromium"),
    (&["sh", "-c", "command -v certutil"], "libnss3-tools"),
];

/// What builds and runs other tunnels for `cargo xtask bench`.
pub(crate) const PEERS: &[(&[&str], &str)] = &[
    (&["openssl", "version"], "openssl"),
    (&["pkg-config", "--version"], "pkg-config"),
    (&["pkg-config", "--exists", "openssl"], "libssl-dev"),
    (&["ssh", "-V"], "openssh-client"),
    (&["test", "-x", "/usr/sbin/sshd"], "openssh-server"),
    (&["node", "--version"], "nodejs"),
    (&["npm", "--version"], "npm"),
];

/// What counts instructions for `cargo xtask bench --guard`.
pub(crate) const GUARD: &[(&[&str], &str)] = &[(&["valgrind", "--version"], "valgrind")];

/// Makes sure that every command that tests need is there.
pub(crate) fn ensure(install: InstallArgs) -> Result<()> {
    ensure_all(NEEDED, install)
}

/// Installs what is missing where that is allowed, and names it where it is not.
pub(crate) fn offer(needed: &[(&[&str], &str)], install: InstallArgs) -> Result<()> {
    if install.allowed() {
        return ensure_all(needed, install);
    }
    if let Err(missing) = ensure_all(needed, install) {
        eprintln!("{missing}");
    }
    Ok(())
}

/// Installs what is missing, or fails and names it.
pub(crate) fn ensure_all(needed: &[(&[&str], &str)], install: InstallArgs) -> Result<()> {
    let mut missing: Vec<_> = needed
        .iter()
        .filter(|(command, _)| !works(command))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !install.allowed() {
        bail!("missing: install with `apt-get install {packages}`, or run with --install");
    }
    run(Command::new("apt-get").args(["update", "--quiet"]))?;
    run(Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // None of them is to serve the machine: tests start what they need.
        .env("RUNLEVEL", "1"))?;
    match needed.iter().find(|(command, _)| !works(command)) {
        Some((command, package)) => bail!(
            "`{}` fails although {package} is installed",
            command.join(" ")
        ),
        None => Ok(()),
    }
}

fn works(command: &[&str]) -> bool {
    let [program, arguments @ ..] = command else {
        return false;
    };
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}
