//! `cargo xtask bench`: other tunnels and ours, built and measured in one run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;
use local_kubernetes::{Binaries, to_stderr};

use crate::cargo::{self, cargo, target_directory, workspace};
use crate::packages::{self, InstallArgs};

/// As images have them.
const PROFILE: &str = "image";
const OURS: [&str; 3] = ["tunnel-server", "tunnel-client", "proxy-sidecar"];

/// Arguments of `cargo xtask bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// A few minutes: whether all works, not what is faster
    #[arg(long)]
    quick: bool,
    /// Only these loads: requests, latency, bulk, watches, fresh, websocket, mixed, far,
    /// memory, chains, api-server
    #[arg(long, value_name = "LOAD")]
    only: Vec<String>,
    /// Only these peers; ours is always there
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// A folder that holds the sources of wstunnel, piko and inlets, in a folder each: no
    /// registry has them whole
    #[arg(long, value_name = "FOLDER")]
    sources: Option<PathBuf>,
    /// Rounds over all cases of a table
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// Where the results go; by default a whole run's to bench/results, and all others'
    /// to target/bench
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Builds all of it, and measures nothing
    #[arg(long)]
    build_only: bool,
    /// Counts the instructions of a request, a watch event and a megabyte instead, and
    /// fails where they are more than bench/guard.json says
    #[arg(long, conflicts_with_all = ["quick", "only", "peer", "sources", "rounds", "results", "build_only"])]
    guard: bool,
    /// With --guard: writes them there
    #[arg(long, requires = "guard")]
    record: bool,
    /// With --guard: keeps what callgrind writes there, for callgrind_annotate
    #[arg(long, requires = "guard", value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: BenchArgs) -> Result<()> {
    if args.guard {
        return guard(&args);
    }
    // A peer whose packages are missing is left out by its name and reason.
    packages::offer(packages::PEERS, args.install)?;
    let binaries = Binaries::obtain(&to_stderr)?;
    eprintln!("kubectl: {}", binaries.kubectl.display());
    let ours = build_ours()?;
    let is_whole = !args.quick && args.only.is_empty() && args.peer.is_empty();
    let results = match args.results {
        Some(results) => results,
        None if is_whole => workspace().join("bench/results"),
        None => target_directory()?.join("bench"),
    };
    let mut peers = program("peers", &ours);
    peers.arg("--results").arg(std::path::absolute(results)?);
    for (is_set, flag) in [(args.quick, "--quick"), (args.build_only, "--build-only")] {
        if is_set {
            peers.arg(flag);
        }
    }
    for load in &args.only {
        peers.args(["--only", load]);
    }
    for peer in &args.peer {
        peers.args(["--peer", peer]);
    }
    if let Some(sources) = args.sources {
        peers.arg("--sources").arg(std::path::absolute(sources)?);
    }
    if let Some(rounds) = args.rounds {
        peers.args(["--rounds", &rounds.to_string()]);
    }
    cargo::run(&mut peers)
}

fn guard(args: &BenchArgs) -> Result<()> {
    packages::ensure_all(packages::GUARD, args.install)?;
    let mut guard = program("guard", &build_ours()?);
    guard
        .arg("--costs")
        .arg(workspace().join("bench/guard.json"));
    if args.record {
        guard.arg("--record");
    }
    if let Some(keep) = &args.keep {
        guard.arg("--keep").arg(std::path::absolute(keep)?);
    }
    cargo::run(&mut guard)
}

/// Gives the folder with our programs.
fn build_ours() -> Result<PathBuf> {
    let mut build = cargo(&["build", "--locked", "--profile", PROFILE]);
    for program in OURS {
        build.args(["--package", program]);
    }
    cargo::run(&mut build)?;
    Ok(target_directory()?.join(PROFILE))
}

/// One of the bench's, which measures ours in that folder.
fn program(name: &str, ours: &Path) -> Command {
    let mut program = cargo(&["run", "--locked", "--release", "--package", "bench"]);
    program
        .args(["--bin", name, "--"])
        .env("CULVERT_BIN_DIR", ours);
    program
}
