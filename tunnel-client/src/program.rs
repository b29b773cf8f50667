//! The program: wires flags, telemetry and the connector.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use service_kit::{exit, private_process, runtime, shutdown, telemetry, tls};

use crate::{Args, Cli, Command, Config, Connector, check};

/// All that the program does. Not in `main.rs`, whose crate would compile every future
/// once more.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let started = match cli.command {
        Some(Command::Check { json, run }) => start(*run, async |args| looked(args, json).await),
        None => start(cli.run, run),
    };
    match started {
        Ok(code) => code,
        Err(error) => exit::code(Err(error)),
    }
}

fn start(
    args: Args,
    run: impl AsyncFnOnce(Args) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    private_process::make().context("cannot keep other processes out of this one")?;
    telemetry::init(&args.log);
    tls::install_provider();
    runtime::run(args.worker_threads, run(args))?
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown::requested().context("cannot listen for signals")?;
    let config = Config::try_from(args)?;
    let connector = Connector::build(config).await?;
    connector.run(shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

async fn looked(args: Args, json: bool) -> anyhow::Result<ExitCode> {
    let report = check(args).await;
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(match report.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
