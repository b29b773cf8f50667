//! `tunnel-client`: wires flags, telemetry and the connector.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use http_relay::body::error_chain;
use service_kit::{runtime, shutdown, telemetry, tls};
use tunnel_client::{Args, Config, Connector};

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What went wrong and nothing else: no backtrace, whatever the
            // environment asks for.
            eprintln!("Error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    let args = Args::parse();
    telemetry::init(&args.log);
    tls::install_provider();
    runtime::build(args.worker_threads)?.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let shutdown = shutdown::requested().context("cannot listen for signals")?;
    let config = Config::try_from(args)?;
    let connector = Connector::build(config).await?;
    connector.run(shutdown).await?;
    Ok(())
}
