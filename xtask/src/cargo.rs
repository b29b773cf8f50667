//! Runs cargo, in the workspace's folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// cargo with arguments, to be run in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).current_dir(workspace());
    command
}

/// Shows a command, runs it, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let shown = format!("{name} {}", arguments.join(" "));
    eprintln!("> {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// What cargo knows of the workspace's packages.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"]).output()?;
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}

/// Where cargo builds to: a user may have set another folder than `target`.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = metadata()?;
    let folder = metadata["target_directory"].as_str();
    Ok(folder
        .context("cargo metadata names no target_directory")?
        .into())
}
