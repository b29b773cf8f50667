//! The Gateway API's definitions, from its Go module, whose `config/crd` holds
//! them. The version is pinned, with its checksum, beside the modules that the
//! control plane is built from.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The folder with the definitions of the standard channel.
pub async fn obtain() -> Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../local-kubernetes/go/gateway-api");
    let output = tokio::process::Command::new("go")
        .args(["mod", "download", "-json", "sigs.k8s.io/gateway-api"])
        .current_dir(module)
        .envs([("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")])
        .output()
        .await
        .context("cannot run go")?;
    ensure!(
        output.status.success(),
        "go mod download: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let folder = answer["Dir"].as_str().context("no folder")?;
    Ok(Path::new(folder).join("config/crd/standard"))
}
