//! Go programs of the tests' own, kept like the commands of public modules.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::go_commands::{GO_ENVIRONMENT, GO_FLAGS};
use crate::{cache, environment, go_build};

/// The path of the program whose module, with committed `go.mod` and `go.sum`, is
/// the folder `sources`; it is built once for each state of its files.
///
/// Blocks, for minutes where Go's build cache is empty; two processes may call it
/// at once.
///
/// # Errors
/// If Go is missing or too old, or if the build fails.
pub fn obtain_go_program(
    name: &'static str,
    sources: &Path,
    progress: &dyn Fn(&str),
) -> Result<PathBuf> {
    let own = GoPackage {
        name,
        package: ".",
        tags: "",
    };
    Ok(obtain_go_packages(name, sources, &[own], progress)?.join(name))
}

/// A command to be built.
#[derive(Clone, Copy, Debug)]
pub struct GoPackage<'a> {
    /// The name of the binary.
    pub name: &'a str,
    /// What holds its `main`: of the module itself, or of one that it requires.
    pub package: &'a str,
    /// Build tags, separated by commas.
    pub tags: &'a str,
}

/// The folder with these commands, as [`obtain_go_program`] has one.
///
/// # Errors
/// As there.
pub fn obtain_go_packages(
    name: &str,
    sources: &Path,
    packages: &[GoPackage<'_>],
    progress: &dyn Fn(&str),
) -> Result<PathBuf> {
    let sources = std::path::absolute(sources)?;
    let root = environment::cache_folder()?.join("programs");
    let key = format!("{name}-{OS}-{ARCH}-{}", digest(&sources, packages)?);
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    let folder = cache::whole_folder(&root, &key, &names, progress, |folder| {
        packages.iter().try_for_each(|package| {
            go_build::build_package(package, &sources, &folder.join(package.name), progress)
        })
    })?;
    Ok(std::path::absolute(folder)?)
}

/// Of everything that the binaries are made of.
fn digest(sources: &Path, packages: &[GoPackage<'_>]) -> Result<String> {
    let mut files = fs::read_dir(sources)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read {}", sources.display()))?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut hash = Sha256::new();
    for file in files {
        let content = fs::read(file.path())?;
        // The length keeps neighbours apart.
        hash.update(file.file_name().as_encoded_bytes());
        hash.update(content.len().to_be_bytes());
        hash.update(content);
    }
    for package in packages {
        let GoPackage {
            name,
            package,
            tags,
        } = package;
        hash.update(format!("{name} {package} {tags}\n"));
    }
    for (variable, value) in GO_ENVIRONMENT {
        hash.update(format!("{variable}={value}\n"));
    }
    for flag in GO_FLAGS {
        hash.update(format!("{flag}\n"));
    }
    // 48 bits: enough to tell the few builds on one machine apart.
    Ok(HEXLOWER.encode(&hash.finalize()[..6]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("go.mod"), "module a").unwrap();
        fs::write(folder.path().join("main.go"), "package main").unwrap();
        let digest = |tags| {
            let package = GoPackage {
                name: "a",
                package: ".",
                tags,
            };
            super::digest(folder.path(), &[package]).unwrap()
        };
        let first = digest("");
        assert_eq!(digest(""), first);
        assert_ne!(digest("x"), first);
        fs::write(folder.path().join("main.go"), "package main // changed").unwrap();
        let second = digest("");
        assert_ne!(second, first);
        fs::write(folder.path().join("go.sum"), "").unwrap();
        assert_ne!(digest(""), second);
    }
}
