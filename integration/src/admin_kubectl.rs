//! kubectl as the administrator of a suite's control plane.

use anyhow::{Result, ensure};

use crate::environment::Environment;

/// Gives what kubectl prints; fails on anything that it warns of.
pub async fn kubectl(environment: &Environment, arguments: &[&str]) -> Result<String> {
    let kubernetes = environment.kubernetes().await?;
    let output = tokio::process::Command::from(kubernetes.kubectl_command())
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
