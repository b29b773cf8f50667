//! Cargo's own additional commands: from the `PATH`, or installed into the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::{self, cargo};
use crate::packages::InstallArgs;

/// The program; `version` is what is installed where there is none.
pub(crate) fn obtain(name: &str, version: &str, install: InstallArgs) -> Result<PathBuf> {
    if Command::new(name).arg("--version").output().is_ok() {
        return Ok(name.into());
    }
    let root = local_kubernetes::cache_folder()?.join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    if !install.allowed() {
        bail!("{name} is missing: `cargo install --locked {name}`, or run with --install");
    }
    let root = root.to_string_lossy().into_owned();
    cargo::run(&mut cargo(&[
        "install",
        "--quiet",
        "--locked",
        name,
        "--version",
        version,
        "--root",
        &root,
    ]))?;
    Ok(program)
}
