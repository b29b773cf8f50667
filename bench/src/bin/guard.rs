//! Counts instructions and compares them with those that are committed; `cargo xtask
//! bench --guard` starts it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bench::guard::{Change, Costs, Verdict, count};
use clap::Parser;
use integration::binaries::culvert;
use local_kubernetes::process::Spawner;

/// Counts the instructions of the hot paths.
#[derive(Debug, Parser)]
struct Args {
    /// What is committed
    #[arg(long, default_value = "bench/guard.json", value_name = "FILE")]
    costs: PathBuf,
    /// Writes what is counted there, instead of comparing it
    #[arg(long)]
    record: bool,
    /// Keeps what callgrind writes there
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

fn main() -> Result<()> {
    service_kit::tls::install_provider();
    service_kit::runtime::run(1, run(Args::parse()))?
}

async fn run(args: Args) -> Result<()> {
    let binary = culvert("tunnel-server")?;
    let binaries = binary.parent().context("a program in no folder")?;
    let binaries = std::path::absolute(binaries)?;
    let before = match args.record {
        true => Costs::read(&args.costs).unwrap_or_default(),
        false => Costs::read(&args.costs)?,
    };
    let now = count(&Spawner::new()?, &binaries, args.keep.as_deref()).await?;
    let changes: Vec<Change> = now.since(&before).collect();
    println!("instructions: each           by        now     before");
    for change in &changes {
        println!("{change}");
    }
    if args.record {
        return now.write(&args.costs);
    }
    let has = |verdict| changes.iter().any(|change| change.verdict() == verdict);
    if before.compiler != now.compiler {
        eprintln!("before: {}, now: {}", before.compiler, now.compiler);
    }
    if has(Verdict::More) || has(Verdict::New) {
        bail!("more instructions than before: find out why, or record them with --guard --record");
    }
    if has(Verdict::Less) {
        eprintln!("fewer instructions than before: record them with --guard --record");
    }
    Ok(())
}
