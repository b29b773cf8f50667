//! The build tool: `cargo xtask demo`, `images`, `test`, `cluster`, `bench`, `lint`.

mod bench;
mod cargo;
mod cargo_tool;
mod cluster;
mod demo;
mod endure;
mod fuzz;
mod images;
mod lint;
mod packages;
mod suites;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and shows Culvert.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole chain in front of a real Kubernetes API and proves it
    Demo(demo::DemoArgs),
    /// A real cluster that runs pods, for developing
    Cluster(cluster::ClusterArgs),
    /// Builds container images of the three programs, without a container engine
    Images(images::ImagesArgs),
    /// Builds what the tests need and runs them all
    Test(test::TestArgs),
    /// The long form of the tests that have one, and each fuzz target
    Endure(endure::EndureArgs),
    /// Each fuzz target under libFuzzer for a while
    Fuzz(fuzz::FuzzArgs),
    /// Other tunnels and ours, built and measured side by side
    Bench(bench::BenchArgs),
    /// Formatting, clippy, documentation, dependencies, each crate alone
    Lint(lint::LintArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Images(args) => images::run(args),
        Command::Test(args) => test::run(&args),
        Command::Endure(args) => endure::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Bench(args) => bench::run(args),
        Command::Lint(args) => lint::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
