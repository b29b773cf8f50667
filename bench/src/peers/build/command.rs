//! Runs a command to its end.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Of what a failed one printed.
const LINES: usize = 12;

/// An error holds the end of what it printed.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}: is it installed?"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.trim_end().lines().collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
    bail!("{program} failed ({}):\n{end}", output.status)
}
