//! `cargo xtask test`: all that the tests need, then all of them.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use local_kubernetes::{Binaries, to_stderr};

use crate::cargo::{self, cargo};
use crate::images;
use crate::packages::{self, InstallArgs};
use crate::suites;

/// Arguments of `cargo xtask test`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// Only tests whose name holds this
    filter: Option<String>,
}

fn run_tests(filter: Option<&str>) -> Result<()> {
    match filter {
        Some(filter) => {
            let all = ["test", "--workspace", "--locked", "--no-fail-fast", filter];
            cargo::run(&mut cargo(&all))
        }
        None => suites::run(),
    }
}

/// What tests of processes need: packages, a Kubernetes API, our binaries.
pub(crate) fn prepare(install: InstallArgs) -> Result<()> {
    packages::ensure(install)?;
    let binaries = Binaries::obtain(&to_stderr)?;
    eprintln!("Kubernetes: {}", binaries.kube_apiserver.display());
    cargo::run(&mut cargo(&["build", "--workspace", "--bins", "--locked"]))
}

pub(crate) fn run(args: &TestArgs) -> Result<()> {
    let started = Instant::now();
    prepare(args.install)?;
    local_kubernetes::obtain_helm(&to_stderr)?;
    integration::go_clients::obtain(&to_stderr)?;
    local_kubernetes::cluster::prepare(&to_stderr)?;
    for image in images::build()? {
        eprintln!("{}: {} bytes", image.path.display(), image.size);
    }
    let prepared = started.elapsed();
    let tested = run_tests(args.filter.as_deref());
    // Tests of clusters end it themselves; a filter may have left them out.
    local_kubernetes::cluster::release(&to_stderr)?;
    tested?;
    eprintln!(
        "prepared in {} s, all in {} s",
        prepared.as_secs(),
        started.elapsed().as_secs()
    );
    Ok(())
}
