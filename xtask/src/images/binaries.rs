//! The programs as they go into images: static, and the same from each checkout.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::program::PROGRAMS;
use super::{elf, folder};
use crate::cargo::{self, cargo, workspace};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the programs and returns the folder that they are in.
pub(crate) fn build() -> Result<PathBuf> {
    ensure!(
        cfg!(all(target_arch = "x86_64", target_os = "linux")),
        "images are built on x86-64 Linux and for it only; elsewhere the Containerfile builds them in an emulated one"
    );
    // One of its own: flags differ from other builds, which would be made anew.
    let target_folder = folder().join("build");
    let mut command = cargo(&[
        "build",
        "--locked",
        "--profile",
        PROFILE,
        "--target",
        TARGET,
    ]);
    command.arg("--target-dir").arg(&target_folder);
    for program in &PROGRAMS {
        command.args(["--package", program.name]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rust_flags()?);
    cargo::run(&mut command)?;
    let binaries = target_folder.join(TARGET).join(PROFILE);
    for program in &PROGRAMS {
        elf::ensure_static_pie(&binaries.join(program.name))?;
    }
    Ok(binaries)
}

const PROFILE: &str = "image";

/// Separated as cargo wants them, so that paths may have spaces.
fn rust_flags() -> Result<OsString> {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    for (from, to) in remapped()? {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    Ok(flags)
}

/// Folders whose names must not show in binaries, the last that fits counts.
fn remapped() -> Result<Vec<(PathBuf, &'static str)>> {
    let cargo_home = cargo_home()?;
    let mut folders = vec![(cargo_home.clone(), "cargo"), (workspace(), "culvert")];
    // Their names hang on the registry's address, which may be a mirror's.
    let sources = cargo_home.join("registry/src");
    if let Ok(registries) = sources.read_dir() {
        for registry in registries {
            folders.push((registry?.path(), "crates"));
        }
    }
    Ok(folders)
}

fn cargo_home() -> Result<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .filter(|home| home.is_absolute())
        .context("where is cargo's home? set CARGO_HOME")
}
