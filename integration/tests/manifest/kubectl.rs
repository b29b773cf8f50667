//! kubectl as the administrator.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use serde_json::Value;

/// Gives what kubectl prints; fails on anything that it warns of.
pub(crate) async fn kubectl(environment: &Environment, arguments: &[&str]) -> Result<String> {
    let output = environment
        .kubernetes()
        .await
        .map(|kubernetes| tokio::process::Command::from(kubernetes.kubectl_command()))?
        .args(arguments)
        .output()
        .await?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && complaints.is_empty(),
        "kubectl {arguments:?}: {complaints}"
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The same, as an object.
pub(crate) async fn kubectl_json(environment: &Environment, arguments: &[&str]) -> Result<Value> {
    let text = kubectl(environment, &[arguments, &["--output", "json"]].concat()).await?;
    Ok(serde_json::from_str(&text)?)
}

/// Applies objects, with further flags.
pub(crate) async fn apply(
    environment: &Arc<Environment>,
    objects: &[Value],
    flags: &[&str],
) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("objects.json");
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    std::fs::write(&file, list.to_string())?;
    apply_file(environment, &file, flags).await
}

pub(crate) async fn apply_file(
    environment: &Environment,
    file: &Path,
    flags: &[&str],
) -> Result<String> {
    let file = file.to_str().context("the file's path")?;
    let arguments = [
        "apply",
        "--server-side",
        "--validate=strict",
        "--filename",
        file,
    ];
    kubectl(environment, &[arguments.as_slice(), flags].concat()).await
}
