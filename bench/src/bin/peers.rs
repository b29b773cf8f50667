//! Measures other tunnels and ours side by side; `cargo xtask bench` starts it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::generator::closed_loop::Times;
use bench::lean::origin::Origin;
use bench::loads::{Effort, Load, Ready, Stage};
use bench::peers::{self, Workshop};
use bench::results::{Absent, Report};
use clap::{Parser, ValueEnum};
use local_kubernetes::process::Spawner;

/// Measures other tunnels and ours side by side.
#[derive(Debug, Parser)]
struct Args {
    /// Fewer and shorter rounds: whether all works, not what is faster
    #[arg(long)]
    quick: bool,
    /// Only these loads; those that the results' folder has of others stay
    #[arg(long, value_enum, value_name = "LOAD")]
    only: Vec<Load>,
    /// Only these peers; ours is always there
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// A folder that holds the sources of wstunnel, piko and inlets, in a folder each
    #[arg(long, value_name = "FOLDER")]
    sources: Option<PathBuf>,
    /// Rounds over all cases of a table
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// Where the results go
    #[arg(long, default_value = "bench/results", value_name = "FOLDER")]
    results: PathBuf,
    /// Builds the peers, and measures nothing
    #[arg(long)]
    build_only: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    service_kit::tls::install_provider();
    // Callers and origin are in this process, and tunnels have as many connections.
    let _ = service_kit::open_files::raise_limit();
    service_kit::runtime::run(1, run(args))?
}

async fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let (ready, absent) = obtain(&args)?;
    for absent in &absent {
        eprintln!("{} is left out: {}", absent.about.name, absent.reason);
    }
    if args.build_only {
        return Ok(());
    }
    let effort = args.effort();
    let abouts = ready.iter().map(|ready| ready.peer.about()).collect();
    let report = Report::new(args.command(), effort, abouts, absent)?;
    let mut report = match args.only.is_empty() {
        true => report.instead_of_others(&args.results)?,
        false => report.beside_others(&args.results)?,
    };
    let (spawner, origin) = (Spawner::new()?, Origin::start().await?);
    let stage = Stage {
        spawner: &spawner,
        ready: &ready,
        origin: &origin,
        effort,
    };
    for load in Load::value_variants() {
        if args.only.is_empty() || args.only.contains(load) {
            load.run(&stage, &mut report).await?;
            // What there is is kept, whatever comes of the next.
            report.write(&args.results)?;
        }
    }
    eprintln!(
        "{} in {} s",
        args.results.join("README.md").display(),
        started.elapsed().as_secs()
    );
    Ok(())
}

/// Those that can be measured, and why others cannot.
fn obtain(args: &Args) -> Result<(Vec<Ready>, Vec<Absent>)> {
    let sources = args
        .sources
        .as_deref()
        .map(std::path::absolute)
        .transpose()?;
    let workshop = Workshop { sources };
    let (mut ready, mut absent) = (Vec::new(), Vec::new());
    let all = peers::all();
    for name in &args.peer {
        let known = all.iter().any(|peer| peer.about().name == name);
        ensure!(known, "--peer {name:?}: there is no such peer");
    }
    for peer in all {
        let about = peer.about();
        let is_ours = about.is_ours();
        if !is_ours && !args.peer.is_empty() && !args.peer.iter().any(|name| name == about.name) {
            continue;
        }
        match peer.obtain(&workshop) {
            Ok(programs) => ready.push(Ready { peer, programs }),
            Err(error) if is_ours => return Err(error),
            Err(error) => absent.push(Absent {
                about,
                reason: format!("{error:#}"),
            }),
        }
    }
    Ok((ready, absent))
}

impl Args {
    fn effort(&self) -> Effort {
        let milliseconds = Duration::from_millis;
        let (rounds, warm_up, time) = if self.quick {
            (2, milliseconds(200), milliseconds(800))
        } else {
            (5, milliseconds(500), milliseconds(2000))
        };
        Effort {
            rounds: self.rounds.unwrap_or(rounds),
            times: Times { warm_up, time },
            quick: self.quick,
        }
    }

    /// What makes the same again; folders are the user's own.
    fn command(&self) -> String {
        let mut command = "cargo xtask bench".to_owned();
        if self.quick {
            command.push_str(" --quick");
        }
        for load in &self.only {
            command.push_str(&format!(" --only {}", load.name()));
        }
        for peer in &self.peer {
            command.push_str(&format!(" --peer {peer:?}"));
        }
        if self.sources.is_some() {
            command.push_str(" --sources FOLDER");
        }
        if let Some(rounds) = self.rounds {
            command.push_str(&format!(" --rounds {rounds}"));
        }
        command
    }
}
