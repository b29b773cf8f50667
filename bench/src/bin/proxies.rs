//! Measures `kubectl proxy` and proxy-sidecar side by side and prints the tables of
//! `PROXIES.md`.

use std::time::{Duration, Instant};

use anyhow::Result;
use bench::chain::Variant;
use bench::choices::Effort;
use bench::proxies::{Bars, Kind, Stage, bulk, memory, requests};
use clap::{Parser, ValueEnum};
use local_kubernetes::{Binaries, to_stderr};

/// Measures `kubectl proxy` and proxy-sidecar side by side, in about four minutes.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds over all cases
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    rounds: usize,
    /// Of one measurement, milliseconds
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    milliseconds: u64,
    /// Only these
    #[arg(long, value_enum, value_name = "MEASURE")]
    only: Vec<Measure>,
    /// Worker threads of proxy-sidecar, instead of its default; several are measured
    /// beside each other
    #[arg(long, value_name = "COUNT")]
    workers: Vec<usize>,
    /// Measure the proxy-sidecar in another folder, too
    #[arg(long, value_parser = Variant::parse, value_name = "NAME=FOLDER")]
    beside: Vec<Variant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Small requests: how many a second, and their CPU time
    Requests,
    /// Downloads
    Bulk,
    /// Resident memory
    Memory,
}

fn main() -> Result<()> {
    let args = Args::parse();
    service_kit::tls::install_provider();
    // Callers and origin are in this process: two for each watch.
    let _ = service_kit::open_files::raise_limit();
    service_kit::runtime::run(1, run(args))?
}

async fn run(args: Args) -> Result<()> {
    let kubectl = Kind {
        name: "kubectl proxy".into(),
        binary: Binaries::obtain(&to_stderr)?.kubectl,
        arguments: vec!["proxy".into()],
    };
    bench::build::release(&["proxy-sidecar"])?;
    let started = Instant::now();
    let effort = Effort {
        rounds: args.rounds,
        time: Duration::from_millis(args.milliseconds),
    };
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(kubectl, ours(&args)?, folder.path()).await?;
    let mut bars = Bars::default();
    let chosen = |measure| args.only.is_empty() || args.only.contains(&measure);
    if chosen(Measure::Requests) {
        requests(&stage, effort, &mut bars).await?;
    }
    if chosen(Measure::Bulk) {
        bulk(&stage, effort, &mut bars).await?;
    }
    if chosen(Measure::Memory) {
        memory(&stage, effort.rounds, &mut bars).await?;
    }
    println!("### Bars\n\n{}", bars.table());
    println!(
        "Taken in {} s: {} rounds, {} ms each, median (least–most).",
        started.elapsed().as_secs(),
        effort.rounds,
        args.milliseconds
    );
    Ok(())
}

/// The binaries by the counts of workers.
fn ours(args: &Args) -> Result<Vec<Kind>> {
    let binaries = std::iter::once(None).chain(args.beside.iter().map(Some));
    let mut kinds = Vec::new();
    for variant in binaries {
        let binary = Variant::binary(variant, "proxy-sidecar")?;
        let name = variant.map_or("proxy-sidecar", |variant| &variant.name);
        let kind = |name, arguments| Kind {
            name,
            binary: binary.clone(),
            arguments,
        };
        if args.workers.is_empty() {
            kinds.push(kind(name.to_owned(), Vec::new()));
        }
        for workers in &args.workers {
            let name = format!("{name}, {workers} workers");
            kinds.push(kind(name, vec![format!("--worker-threads={workers}")]));
        }
    }
    Ok(kinds)
}
