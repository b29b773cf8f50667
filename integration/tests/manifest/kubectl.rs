//! kubectl as the administrator.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
pub(crate) use integration::admin_kubectl::kubectl;
use integration::environment::Environment;
use serde_json::Value;

/// What it prints, as an object.
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
