//! `tunnel-client`: wires flags, telemetry and the connector.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use service_kit::{exit, private_process, runtime, shutdown, telemetry, tls};
use tunnel_client::{Args, Config, Connector};

fn main() -> ExitCode {
    exit::code(start())
}

fn start() -> anyhow::Result<()> {
    private_process::make().context("cannot keep other processes out of this one")?;
    let args = Args::parse();
    telemetry::init(&args.log);
    tls::install_provider();
    runtime::run(args.worker_threads, run(args))?
}

async fn run(args: Args) -> anyhow::Result<()> {
    let shutdown = shutdown::requested().context("cannot listen for signals")?;
    let config = Config::try_from(args)?;
    let connector = Connector::build(config).await?;
    connector.run(shutdown).await?;
    Ok(())
}
