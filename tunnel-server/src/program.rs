//! The program: wires flags, telemetry and the server; and the commands that need no
//! server.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use service_kit::{exit, private_process, runtime, shutdown, telemetry, tls};

use crate::cli::{Cli, Command, RunArgs, check_config, new_token};
use crate::{Config, Server};

/// All that the program does. Not in `main.rs`, whose crate would compile every future
/// once more.
pub fn main() -> ExitCode {
    exit::code(start())
}

fn start() -> anyhow::Result<()> {
    private_process::make().context("cannot keep other processes out of this one")?;
    let cli = Cli::parse();
    tls::install_provider();
    match cli.command {
        Some(Command::CheckConfig { file }) => check_config(&file),
        Some(Command::Token(command)) => new_token(&command),
        None => {
            telemetry::init(&cli.run.log);
            runtime::run(1, run(cli.run))?
        }
    }
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let shutdown = shutdown::requested().context("cannot listen for signals")?;
    let server = Server::build(Config::try_from(args)?).await?;
    println!(
        "Listening on {} (admin: {})",
        server.address(),
        server.admin_address()
    );
    server.run(shutdown).await;
    Ok(())
}
