//! Runs all tests: unit tests, the suites that wait more than they work two at a time,
//! and the others one after the other.
//!
//! The programs that cargo has made of them are run, not cargo: it would build some of
//! our binaries anew for a single suite, under the feet of the one beside it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cargo::{self, cargo};

/// Suites that measure, fill the machine, or use what it has one of.
const ALONE: &[&str] = &[
    "bulk",
    "cluster",
    "far",
    "hostile_connector",
    "hostile_server",
    "link_settings",
    "many_links",
    "mixed_load",
    "networks",
    "peers",
    "pod",
    "public_listener",
    "seeds",
    "watch",
];
const AT_ONCE: usize = 2;

/// A program of tests.
#[derive(Debug)]
struct Program {
    name: String,
    /// Not of a library's or a binary's own.
    is_suite: bool,
    file: PathBuf,
    /// Its package's, from which cargo runs it.
    folder: PathBuf,
}

impl Program {
    fn is_alone(&self) -> bool {
        ALONE.contains(&self.name.as_str())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        command.current_dir(&self.folder);
        command
    }
}

/// Builds and runs all; goes on after a failure.
pub(crate) fn run() -> Result<()> {
    let mut failed = Vec::new();
    if cargo::run(&mut tests(&["--doc"])).is_err() {
        failed.push("the documents' examples".to_owned());
    }
    let programs = built()?;
    for suite in ALONE {
        let is_there = programs.iter().any(|program| program.name == *suite);
        ensure!(is_there, "there is no suite {suite:?}");
    }
    let (suites, units): (Vec<_>, Vec<_>) =
        programs.into_iter().partition(|program| program.is_suite);
    let (alone, together): (Vec<_>, Vec<_>) = suites.into_iter().partition(Program::is_alone);
    failed.extend(one_by_one(&units));
    failed.extend(side_by_side(&together)?);
    failed.extend(one_by_one(&alone));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn tests(what: &[&str]) -> Command {
    let mut command = cargo(&["test", "--workspace", "--locked"]);
    command.args(what);
    command
}

/// Builds all tests. Gives them in the order of their names.
fn built() -> Result<Vec<Program>> {
    let format = "--message-format=json-render-diagnostics";
    let mut build = tests(&["--no-run", format]);
    let output = build.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the tests do not build");
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines().map(serde_json::from_str::<Value>);
    let mut programs = Vec::new();
    for message in messages {
        programs.extend(program(&message?)?);
    }
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

/// What one of cargo's messages tells of.
fn program(message: &Value) -> Result<Option<Program>> {
    let Some(file) = message["executable"].as_str() else {
        return Ok(None);
    };
    if message["profile"]["test"] != true {
        return Ok(None);
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let manifest = text(&message["manifest_path"]).context("a target of no package")?;
    let folder = Path::new(&manifest).parent().context("no folder")?;
    Ok(Some(Program {
        name: text(&message["target"]["name"]).context("a target without name")?,
        is_suite: message["target"]["kind"][0] == "test",
        file: file.into(),
        folder: folder.to_owned(),
    }))
}

/// Returns those that failed.
fn one_by_one(programs: &[Program]) -> Vec<String> {
    let failed = programs
        .iter()
        .filter(|program| cargo::run(&mut program.command()).is_err());
    failed.map(|program| program.name.clone()).collect()
}

/// Shows each one's output when it has ended. Returns those that failed.
fn side_by_side(programs: &[Program]) -> Result<Vec<String>> {
    let left = Mutex::new(programs.iter().rev().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    let take = || left.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> Result<()> {
        while let Some(program) = take() {
            let output = program.command().output()?;
            show(program, &output)?;
            if !output.status.success() {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push(program.name.clone());
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(worked) => worked?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn show(program: &Program, output: &Output) -> Result<()> {
    let mut terminal = std::io::stderr().lock();
    writeln!(terminal, "> {}", program.name)?;
    terminal.write_all(&output.stderr)?;
    terminal.write_all(&output.stdout)?;
    Ok(())
}
