//! Builds the peers' programs from public sources, once, into the cache.

mod command;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use local_kubernetes::{GoPackage, cache_folder, to_stderr, whole_folder};

/// Where a peer's programs are.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

/// Where they are built.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// A folder for each of those that no registry has.
    pub sources: Option<PathBuf>,
}

/// Commands of Go modules; `peers/<name>` pins them with all that they need.
pub struct GoPeer {
    pub name: &'static str,
    /// The binary's name, its package, and its build tags.
    pub commands: &'static [(&'static str, &'static str, &'static str)],
}

impl Programs {
    /// None of its own: they are on the `PATH`, or beside this one.
    pub fn of_the_system() -> Self {
        Self(PathBuf::new())
    }

    /// Those that are there already.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// A program, or a folder of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Workshop {
    pub fn go(&self, peer: &GoPeer) -> Result<Programs> {
        let commands = peer.commands.iter();
        let package =
            |&(name, package, tags): &(&'static str, &'static str, &'static str)| GoPackage {
                name,
                package,
                tags,
            };
        let packages: Vec<_> = commands.map(package).collect();
        let folder = local_kubernetes::obtain_go_packages(
            peer.name,
            &pinned(peer.name),
            &packages,
            &to_stderr,
        )?;
        Ok(Programs(folder))
    }

    /// A program whose sources are in `peers/<name>`.
    pub fn own_go(&self, name: &'static str) -> Result<Programs> {
        let program = local_kubernetes::obtain_go_program(name, &pinned(name), &to_stderr)?;
        Ok(Programs(program.parent().context("no folder")?.to_owned()))
    }

    /// The programs of a crate. Where they are not `locked`, the newest that fit of what
    /// it depends on are taken when it is built.
    pub fn cargo_install(&self, package: &str, version: &str, locked: bool) -> Result<Programs> {
        let key = format!("{package}-{version}");
        // cargo writes it when all else is done.
        let folder = whole_folder(&cache()?, &key, &[".crates.toml"], &to_stderr, |folder| {
            to_stderr(&format!(
                "building {package} {version} (once; it takes minutes)"
            ));
            let mut install = cargo();
            install.args([
                "install",
                "--quiet",
                package,
                "--version",
                version,
                "--root",
            ]);
            install.arg(folder);
            if locked {
                install.arg("--locked");
            }
            command::run(&mut install)
        })?;
        Ok(Programs(folder.join("bin")))
    }

    /// What `peers/<name>/package-lock.json` pins, as `node_modules`. No script of a
    /// package is run.
    pub fn npm(&self, name: &str) -> Result<Programs> {
        let pinned = pinned(name);
        let files = ["package.json", "package-lock.json"];
        let names = ["package.json", "node_modules/.package-lock.json"];
        let key = format!("npm-{name}");
        let folder = whole_folder(&cache()?, &key, &names, &to_stderr, |folder| {
            to_stderr(&format!("installing {name} of npm (once)"));
            for file in files {
                std::fs::copy(pinned.join(file), folder.join(file))?;
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
            command::run(npm.current_dir(folder))
        })?;
        let lock = "package-lock.json";
        ensure!(
            std::fs::read(folder.join(lock))? == std::fs::read(pinned.join(lock))?,
            "{} is of another version: remove it",
            folder.display()
        );
        Ok(Programs(folder))
    }

    /// A program of a Rust workspace in the folder of sources.
    pub fn cargo_sources(&self, name: &str, package: &str) -> Result<Programs> {
        let folder = self.folder(name)?;
        let mut build = cargo();
        build.args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--package",
            package,
        ]);
        command::run(build.current_dir(&folder))?;
        Ok(Programs(folder.join("target/release")))
    }

    /// A program of a Go module in the folder of sources.
    pub fn go_sources(&self, name: &str, package: &str) -> Result<Programs> {
        let sources = self.folder(name)?;
        let folder = cache()?.join(format!("{name}-sources"));
        std::fs::create_dir_all(&folder)?;
        let mut build = Command::new("go");
        build.args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            "-s -w",
            "-o",
        ]);
        build.arg(folder.join(name)).arg(package);
        command::run(build.env("CGO_ENABLED", "0").current_dir(sources))?;
        Ok(Programs(folder))
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let sources = self.sources.as_ref().with_context(|| {
            format!("no registry has it whole: name a folder that holds {name} by --sources")
        })?;
        let folder = sources.join(name);
        ensure!(folder.is_dir(), "{} is no folder", folder.display());
        Ok(folder)
    }
}

/// What is committed of a peer.
fn pinned(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

fn cache() -> Result<PathBuf> {
    Ok(std::path::absolute(cache_folder()?.join("peers"))?)
}

/// As from a shell: this program's own folders and flags are not theirs.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for variable in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    cargo
}
