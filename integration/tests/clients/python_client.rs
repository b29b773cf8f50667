//! Python's `kubernetes` package, with the host alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;
use integration::python;
use tokio::process::Command;

use crate::stage::{Stage, run};

async fn check(environment: Arc<Environment>, namespace: &'static str, check: &str) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let requirements = folder.join("../examples/python/requirements.txt");
    let interpreter = python::with_requirements(requirements).await?;
    let stage = Stage::start(environment, namespace, &[]).await?;
    let mut command = Command::new(interpreter);
    command.arg(folder.join("tests/clients/client.py"));
    run(command.args([&stage.sidecar.url()?, namespace, check])).await?;
    stage.stop()
}

pub(crate) async fn python_objects(environment: Arc<Environment>) -> Result<()> {
    check(environment, "python-objects", "objects").await
}

pub(crate) async fn python_watch(environment: Arc<Environment>) -> Result<()> {
    check(environment, "python-watch", "watch").await
}

pub(crate) async fn python_exec(environment: Arc<Environment>) -> Result<()> {
    check(environment, "python-exec", "exec").await
}
