//! `cargo xtask lint`: what must hold before the tests are worth running.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{self, cargo, metadata, workspace};
use crate::cargo_tool;
use crate::packages::InstallArgs;

/// The version that the configuration in `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

/// Arguments of `cargo xtask lint`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LintArgs {
    #[command(flatten)]
    install: InstallArgs,
}

fn check(arguments: &[&str]) -> Result<()> {
    // The documentation is the builders', with private items: links to them work.
    let rustdoc = "-D warnings -A rustdoc::private_intra_doc_links";
    cargo::run(cargo(arguments).env("RUSTDOCFLAGS", rustdoc))
}

pub(crate) fn run(args: &LintArgs) -> Result<()> {
    check(&["fmt", "--all", "--check"])?;
    check(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])?;
    check(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--locked",
    ])?;
    for package in packages()? {
        // Alone, so that no crate lives on features that a neighbour switches on.
        check(&["check", "--quiet", "--locked", "--package", &package])?;
    }
    deny(args.install)
}

/// The workspace's packages.
fn packages() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?;
    Ok(packages
        .iter()
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect())
}

fn deny(install: InstallArgs) -> Result<()> {
    let program = cargo_tool::obtain("cargo-deny", CARGO_DENY, install)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(workspace());
        command
    };
    cargo::run(&mut deny(&[
        "--locked", "check", "bans", "licenses", "sources",
    ]))?;
    // The database of advisories is on a server of its own, which not every
    // machine can reach.
    let reached = deny(&["fetch", "db"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !reached {
        eprintln!("the advisory database cannot be reached from here: not checked");
        return Ok(());
    }
    cargo::run(&mut deny(&["--locked", "check", "advisories"]))
}
