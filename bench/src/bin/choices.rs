//! Measures the three choices and prints the tables of `NOTES.md`.

use std::time::{Duration, Instant};

use anyhow::Result;
use bench::chain::Variant;
use bench::choices::{Effort, carrier, hop, runtime};
use bench::origin::Origin;
use bench::upgraded::{Carrier, of_idle_streams};
use clap::{Parser, ValueEnum};
use local_kubernetes::process::Spawner;

/// Measures runtime, hop and carrier side by side, in about five minutes.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds over all cases
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    rounds: usize,
    /// Of one measurement, milliseconds
    #[arg(long, default_value_t = 700, value_name = "MS")]
    milliseconds: u64,
    /// Only these
    #[arg(long, value_enum, value_name = "CHOICE")]
    only: Vec<Choice>,
    /// Measure the binaries in another folder, too
    #[arg(long, value_parser = Variant::parse, value_name = "NAME=FOLDER")]
    beside: Vec<Variant>,
    /// How this program measures memory: it runs itself
    #[arg(long, value_enum, hide = true)]
    memory_of: Option<Carrier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Worker threads
    Runtime,
    /// From tunnel-client to the sidecar
    Hop,
    /// Upgraded connections on the link
    Carrier,
}

fn main() -> Result<()> {
    let args = Args::parse();
    service_kit::tls::install_provider();
    service_kit::runtime::run(1, run(args))?
}

async fn run(args: Args) -> Result<()> {
    if let Some(carrier) = args.memory_of {
        println!("{}", of_idle_streams(carrier).await?);
        return Ok(());
    }
    bench::build::release(bench::build::CHAIN)?;
    let started = Instant::now();
    let effort = Effort {
        rounds: args.rounds,
        time: Duration::from_millis(args.milliseconds),
    };
    let chosen = |choice| args.only.is_empty() || args.only.contains(&choice);
    let folder = tempfile::tempdir()?;
    let origin = Origin::start(folder.path()).await?;
    if chosen(Choice::Runtime) {
        println!("## Runtime\n");
        let spawner = Spawner::new()?;
        runtime::links(&spawner, &origin, &args.beside, effort).await?;
        runtime::whole_chain(&spawner, &origin, &args.beside, effort).await?;
    }
    if chosen(Choice::Hop) {
        println!("## Hop\n");
        hop::compare(&origin, effort).await?;
    }
    if chosen(Choice::Carrier) {
        println!("## Carrier\n");
        carrier::compare(folder.path(), effort).await?;
    }
    println!(
        "Taken in {} s: {} rounds, {} ms each, median (least–most).",
        started.elapsed().as_secs(),
        effort.rounds,
        args.milliseconds
    );
    Ok(())
}
