//! A Python with the packages of a requirements file: made once for each such
//! file and version of Python, and kept in the cache folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use local_kubernetes::{cache_folder, to_stderr, whole_folder};
use sha2::{Digest, Sha256};

/// In a virtual environment, relative to its folder.
const INTERPRETER: &str = "bin/python";
/// Written last: pip has ended without an error.
const INSTALLED: &str = "installed";

/// The interpreter of a virtual environment that has what `requirements` names.
pub async fn with_requirements(requirements: PathBuf) -> Result<PathBuf> {
    tokio::task::spawn_blocking(move || obtain(&requirements)).await?
}

fn obtain(requirements: &Path) -> Result<PathBuf> {
    let version = run(Command::new("python3").arg("--version"))
        .context("python3 is needed: on Debian `apt-get install python3-venv`")?;
    let text = std::fs::read(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let hash = Sha256::new()
        .chain_update(version)
        .chain_update(text)
        .finalize();
    let key = format!("python-{}", &HEXLOWER.encode(&hash)[..16]);
    let files = [INTERPRETER, INSTALLED];
    // It is renamed when it is whole: only the interpreter in it may be called,
    // as the scripts beside it name the folder that they were made in.
    let folder = whole_folder(&cache_folder()?, &key, &files, &to_stderr, |folder| {
        to_stderr("installing the Python packages of the examples");
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))
            .context("python3 has no venv: on Debian `apt-get install python3-venv`")?;
        run(Command::new(folder.join(INTERPRETER))
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(requirements))?;
        Ok(std::fs::write(folder.join(INSTALLED), "")?)
    })?;
    Ok(folder.join(INTERPRETER))
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
