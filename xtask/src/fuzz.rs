//! `cargo xtask fuzz`: each fuzz target under libFuzzer for a while.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::cargo::{self, workspace};
use crate::cargo_tool;
use crate::packages::InstallArgs;

const CARGO_FUZZ: &str = "0.13.2";

/// Of the sanitizers' builds; git knows nothing of it, and runs share it.
const TARGET: &str = "fuzz/target";

/// An input that takes longer has found something quadratic, seconds.
const SLOW: u32 = 10;

/// An input that takes more has found something unbounded, MiB.
const LARGE: u32 = 2048;

/// Arguments of `cargo xtask fuzz`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FuzzArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// How long each target runs
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// Only this one
    target: Option<String>,
}

impl FuzzArgs {
    /// All targets.
    pub(crate) fn all(install: InstallArgs, seconds: u32) -> Self {
        Self {
            install,
            seconds,
            target: None,
        }
    }
}

pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    let targets = targets(args.target.as_deref())?;
    must_have_nightly()?;
    let fuzzer = Fuzzer {
        program: cargo_tool::obtain("cargo-fuzz", CARGO_FUZZ, args.install)?,
        seconds: args.seconds,
    };
    for target in &targets {
        fuzzer.run(target)?;
    }
    eprintln!("{} targets, {} s each: clean", targets.len(), args.seconds);
    Ok(())
}

/// Every target, or the one that was asked for.
fn targets(only: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace().join("fuzz/fuzz_targets"))? {
        let file = PathBuf::from(entry?.file_name());
        names.extend(
            file.file_stem()
                .and_then(|name| name.to_str())
                .map(str::to_owned),
        );
    }
    names.sort();
    let Some(only) = only else { return Ok(names) };
    ensure!(
        names.iter().any(|name| name == only),
        "there is no target {only}; there are {}",
        names.join(", ")
    );
    Ok(vec![only.to_owned()])
}

fn must_have_nightly() -> Result<()> {
    let works = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !works("rustup", &["run", "nightly", "rustc", "--version"]) {
        bail!("sanitizers need nightly: `rustup toolchain install nightly --profile minimal`");
    }
    if !works("c++", &["--version"]) {
        bail!("libFuzzer is C++: `apt-get install g++`");
    }
    Ok(())
}

struct Fuzzer {
    program: PathBuf,
    seconds: u32,
}

impl Fuzzer {
    /// What it finds stays beside its build: what is committed is chosen by hand,
    /// with `cargo fuzz cmin`.
    fn run(&self, target: &str) -> Result<()> {
        let found = workspace().join(TARGET).join("corpus").join(target);
        fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
        let committed = Path::new("fuzz/corpus").join(target);
        let mut command = Command::new(&self.program);
        command
            .args([
                "fuzz",
                "run",
                "--features",
                "libfuzzer",
                "--target-dir",
                TARGET,
                target,
            ])
            .args([&found, &committed])
            .arg("--")
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-timeout={SLOW}"))
            .arg(format!("-rss_limit_mb={LARGE}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .current_dir(workspace())
            // Not the toolchain that runs this.
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .env_remove("CARGO")
            .env_remove("RUSTC")
            // Names in a report of a failure are worth more here than a small file.
            .env("CARGO_PROFILE_RELEASE_STRIP", "none")
            .env("CARGO_PROFILE_RELEASE_LTO", "off");
        cargo::run(&mut command)
            .with_context(|| format!("{target} failed; the input is in fuzz/artifacts/{target}"))
    }
}
