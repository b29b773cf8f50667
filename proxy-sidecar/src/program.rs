//! The program: wires flags, telemetry, listeners and the proxy.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use service_kit::shutdown::Signals;
use service_kit::{exit, private_process, runtime, telemetry, tls};

use crate::{Args, Config, Sidecar};

/// All that the program does. Not in `main.rs`, whose crate would compile every future
/// once more.
pub fn main() -> ExitCode {
    exit::code(start())
}

fn start() -> anyhow::Result<()> {
    private_process::make().context("cannot keep other processes out of this one")?;
    let args = arguments();
    telemetry::init(&args.log);
    tls::install_provider();
    runtime::run(1, run(args))?
}

/// As kubectl, a mistake in the flags ends with 1.
fn arguments() -> Args {
    Args::try_parse().unwrap_or_else(|error| {
        // Standard error may be closed.
        let _ = error.print();
        std::process::exit(if error.use_stderr() { 1 } else { 0 })
    })
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let config = Config::try_from(args)?;
    let sidecar = tokio::select! {
        built = Sidecar::build(config) => built?,
        // A plugin may hang.
        signal = signals.next() => {
            tracing::info!(?signal, "ended before it served");
            return Ok(());
        }
    };
    // kubectl proxy's own line; programs wait for it and read the port from it.
    println!("Starting to serve on {}", sidecar.address());
    sidecar.run(async || signals.next().await).await;
    Ok(())
}
