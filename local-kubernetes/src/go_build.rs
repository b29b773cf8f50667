//! Builds commands with the Go that is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::go_commands::{GO_ENVIRONMENT, GO_FLAGS, GoCommand, GoModule, OLDEST_GO};
use crate::go_program::GoPackage;
use crate::log_tail::log_tail;
use crate::process::signalled_at_parent_death;
use crate::{command, environment};

/// How often a build that goes on says so.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Builds each of `commands` into `folder`, which also takes the modules and
/// Go's output while it builds. Go's own caches stay where Go keeps them.
///
/// Blocks for minutes when Go's build cache is empty.
pub(crate) fn build_all(
    commands: &[GoCommand],
    folder: &Path,
    progress: &dyn Fn(&str),
) -> Result<()> {
    let modules = tempfile::tempdir_in(folder)?;
    for command in commands {
        let module = modules.path().join(command.module.name);
        write_module(command.module, &module)?;
        require_go(&module)?;
        build(command, &module, &folder.join(command.name), progress)
            .with_context(|| format!("cannot build {} from its Go module", command.name))?;
    }
    Ok(())
}

/// The folder of the module that `module` requires, in Go's module cache.
pub(crate) fn module_source(module: &GoModule) -> Result<PathBuf> {
    let folder = tempfile::tempdir()?;
    write_module(module, folder.path())?;
    require_go(folder.path())?;
    let go = |arguments: &[&str]| {
        command::output(go(folder.path()).args(arguments).arg(module.requires))
    };
    go(&["mod", "download"])?;
    Ok(PathBuf::from(go(&["list", "-m", "-f", "{{.Dir}}"])?))
}

fn write_module(module: &GoModule, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("go.mod"), module.go_mod)?;
    fs::write(folder.join("go.sum"), module.go_sum)?;
    Ok(())
}

/// Builds a command of the module in the folder `sources`, or of one that it requires.
pub(crate) fn build_package(
    package: &GoPackage<'_>,
    sources: &Path,
    binary: &Path,
    progress: &dyn Fn(&str),
) -> Result<()> {
    require_go(sources)?;
    let log = binary.with_extension("log");
    let mut command = go(sources);
    command
        .arg("build")
        .args(GO_FLAGS)
        .args(["-ldflags", "-s -w", "-tags", package.tags]);
    command.arg("-o").arg(binary).arg(package.package);
    let name = package.name;
    run_build(name, command.stderr(File::create(&log)?), &log, progress)
        .with_context(|| format!("cannot build {name} in {}", sources.display()))
}

fn build(command: &GoCommand, module: &Path, binary: &Path, progress: &dyn Fn(&str)) -> Result<()> {
    let what = format!("{} {}", command.name, command.module.version()?);
    let log = module.join(format!("{}.log", command.name));
    let mut build = go(module);
    build.arg("build").args(GO_FLAGS);
    build.arg("-ldflags").arg(command.linker_flags()?);
    build.arg("-o").arg(binary).arg(command.package);
    run_build(&what, build.stderr(File::create(&log)?), &log, progress)
}

/// `log` is where `command` writes what it complains of.
fn run_build(what: &str, command: &mut Command, log: &Path, progress: &dyn Fn(&str)) -> Result<()> {
    progress(&format!("building {what} (once; all of it takes minutes)"));
    let started = Instant::now();
    let status = run(command, &|elapsed| {
        progress(&format!("building {what}: {} s", elapsed.as_secs()))
    })?;
    if !status.success() {
        bail!("go build failed ({status}):\n{}", log_tail(log));
    }
    let seconds = started.elapsed().as_secs();
    progress(&format!("built {what} in {seconds} s"));
    Ok(())
}

/// Runs `command` to its end and calls `still_running` now and then.
fn run(command: &mut Command, still_running: &dyn Fn(Duration)) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut said = started;
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            still_running(started.elapsed());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// An error that says what to install, unless the Go that is used for `module`
/// is new enough.
///
/// Asked in the module's folder, an older Go may fetch the one that the module
/// wants and answer for that.
fn require_go(module: &Path) -> Result<()> {
    let found = if environment::on_path("go").is_none() {
        "there is none on the PATH".to_owned()
    } else {
        let output = go(module)
            .arg("version")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .context("cannot run go")?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if go_version(&said).is_some_and(|version| version >= OLDEST_GO) {
            return Ok(());
        }
        // It has refused the module's `go` line if it has not said its version.
        format!("{said}{}", String::from_utf8_lossy(&output.stderr).trim())
    };
    let (major, minor) = OLDEST_GO;
    bail!(
        "Kubernetes is built once from its Go modules, and that needs \
         Go {major}.{minor} or newer ({found}). Install it (https://go.dev/doc/install), or set \
         {} to a folder that holds the three binaries",
        environment::ASSETS
    )
}

/// `(1, 26)` of `go version go1.26.8 linux/amd64`.
fn go_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split(' ').nth(2)?.strip_prefix("go")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    // A release candidate is written `1.27rc1`.
    let minor = numbers.next()?;
    let digits = minor.find(|c: char| !c.is_ascii_digit());
    let minor = minor[..digits.unwrap_or(minor.len())].parse().ok()?;
    Some((major, minor))
}

fn go(module: &Path) -> Command {
    // Go removes its temporary files when it is interrupted.
    let mut go = signalled_at_parent_death("INT", Path::new("go"));
    go.current_dir(module)
        .envs(GO_ENVIRONMENT)
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_read() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(
            go_version("go version go1.27rc1 linux/amd64"),
            Some((1, 27))
        );
        assert_eq!(go_version("go version devel +abc linux/amd64"), None);
        assert_eq!(go_version(""), None);
    }
}
