//! `cargo xtask cluster`: a real cluster that runs pods, for developing.

use anyhow::Result;
use clap::{Args, Subcommand};
use local_kubernetes::cluster::{Cluster, Status};
use local_kubernetes::to_stderr;

use crate::images;

/// Arguments of `cargo xtask cluster`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    what: What,
    /// The cluster's name
    #[arg(long, global = true, default_value = "culvert")]
    name: String,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Makes the cluster if it is not there, and loads our images into it
    Up,
    /// Deletes it, and ends the container engine if that was started for it
    Down,
    /// Tells whether it is there and ready
    Status,
}

pub(crate) fn run(args: &ClusterArgs) -> Result<()> {
    match args.what {
        What::Up => up(&args.name),
        What::Down => Cluster::down(&args.name, &to_stderr),
        What::Status => status(&args.name),
    }
}

fn up(name: &str) -> Result<()> {
    let archives: Vec<_> = images::build()?
        .into_iter()
        .map(|image| image.path)
        .collect();
    let cluster = Cluster::up(name, &archives, &to_stderr)?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    if let Some(host) = cluster.engine().host() {
        println!("export DOCKER_HOST={host}");
    }
    Ok(())
}

fn status(name: &str) -> Result<()> {
    let Some(cluster) = Cluster::find(name, &to_stderr)? else {
        println!("{name}: absent");
        return Ok(());
    };
    match cluster.status() {
        Status::Ready => println!("{name}: ready, {}", cluster.kubeconfig().display()),
        Status::NotReady(why) => println!("{name}: not ready: {why}"),
    }
    Ok(())
}
