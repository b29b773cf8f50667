//! `cargo xtask endure`: the long form of what the tests do in short, the simulation's
//! seeds, and the fuzz targets. Hours, not minutes.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::cargo::{self, cargo};
use crate::fuzz::{self, FuzzArgs};
use crate::packages::InstallArgs;
use crate::test;

/// Suites of `integration` with a long form: what asks `endure::amount`.
const SUITES: &[&str] = &[
    "public_listener",
    "link_settings",
    "load_balancers",
    "smuggling",
    "hostile_connector",
    "hostile_server",
    "reload_faults",
    "kubectl_proxy",
    "sidecar_upstream",
    "api_server_changes",
    "far",
    "many_links",
    "mixed_load",
    "networks",
];

/// The simulation's suite, of a package of its own.
const SIMULATION: &str = "simulation";

/// Arguments of `cargo xtask endure`.
#[derive(Clone, Debug, Args)]
pub(crate) struct EndureArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// How long each fuzz target runs
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// Only this suite, without the fuzz targets
    suite: Option<String>,
}

pub(crate) fn run(args: &EndureArgs) -> Result<()> {
    let only = args.suite.as_deref();
    if only.is_none_or(|only| only == SIMULATION) {
        endure(cargo(&["test", "-p", SIMULATION, "--locked"]))?;
    }
    if only != Some(SIMULATION) {
        test::prepare(args.install)?;
        let mut command = cargo(&["test", "-p", "integration", "--locked", "--no-fail-fast"]);
        let suites = SUITES.iter().copied();
        for suite in suites.filter(|suite| only.is_none_or(|only| only == *suite)) {
            command.args(["--test", suite]);
        }
        endure(command)?;
    }
    if args.suite.is_none() {
        fuzz::run(&FuzzArgs::all(args.install, args.seconds))?;
    }
    Ok(())
}

fn endure(mut tests: Command) -> Result<()> {
    // One at a time: each brings the machine to its limits.
    tests.args(["--", "--test-threads=1", "--nocapture"]);
    cargo::run(tests.env(integration::endure::VARIABLE, "1"))
}
