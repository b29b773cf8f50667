//! `cargo xtask demo`: the whole chain in front of a real Kubernetes API.

mod instructions;
mod proof;
mod stage;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use local_kubernetes::to_stderr;

use crate::cargo::{self, cargo, target_directory};
use stage::Stage;

/// Arguments of `cargo xtask demo`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Prove that it works, then leave
    #[arg(long)]
    check: bool,
    /// Show the cluster of this kubeconfig instead of one of the demo's own
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(crate) fn run(args: DemoArgs) -> Result<()> {
    println!("Building the three programs (release)");
    cargo::run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "tunnel-server",
        "--package",
        "tunnel-client",
        "--package",
        "proxy-sidecar",
    ]))?;
    service_kit::tls::install_provider();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(show(args))
}

async fn show(args: DemoArgs) -> Result<()> {
    // From here on Ctrl-C ends the demo in order.
    let shutdown = service_kit::shutdown::requested()?;
    let kubernetes = local_kubernetes::obtain(args.kubeconfig, to_stderr)
        .await
        .context("the demo needs a Kubernetes API; name one with --kubeconfig, or install Go to build one")?;
    let stage = Stage::start(&kubernetes, &target_directory()?).await?;
    let shown = async {
        proof::prove(&stage).await?;
        if !args.check {
            instructions::print(&stage);
            shutdown.await;
        }
        Ok(())
    };
    let shown = shown.await;
    stage.stop().await?;
    kubernetes.stop().await?;
    println!("Everything has ended.");
    shown
}
