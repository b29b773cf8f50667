//! Runs commands of the machine to their end.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How much of what a failed command printed is shown, in bytes: the end of it
/// holds the reason.
const SHOWN: usize = 4096;

/// Runs `command` and gives what it printed.
///
/// # Errors
/// If it cannot be started, or fails: with the end of what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let mut said = output.stdout;
        said.extend(output.stderr);
        let end = &said[said.len().saturating_sub(SHOWN)..];
        bail!(
            "{} failed ({}):\n{}",
            line(command),
            output.status,
            String::from_utf8_lossy(end).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// Runs `command`, as [`output`] does.
///
/// # Errors
/// As there.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// The program and its first arguments: scripts and long lists are cut.
fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args().take(4) {
        let argument = argument.to_string_lossy();
        let first = argument.lines().next().unwrap_or_default();
        line.push(' ');
        line.push_str(first);
    }
    line
}
