//! kubectl through the whole chain, by hostname and by path.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::Chain;
use integration::environment::Environment;
use integration::{suite, tests};

fn main() -> ExitCode {
    suite::run(tests![get])
}

/// Runs kubectl and gives what it prints; fails with what it complains of.
async fn kubectl(
    environment: &Environment,
    chain: &Chain,
    server: &str,
    arguments: &[&str],
) -> Result<String> {
    let kubectl = environment.kubernetes().await?.kubectl();
    let output = tokio::process::Command::new(kubectl)
        .args(arguments)
        .env("KUBECONFIG", chain.kubeconfig(server)?)
        .env("HOME", chain.folder())
        .output()
        .await?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "kubectl {arguments:?}: {err}");
    Ok(out.into_owned())
}

async fn get(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for server in [
        chain.url_by_host(),
        chain.url_by_path(),
        format!("{}/", chain.url_by_path()),
    ] {
        let namespaces = kubectl(
            &environment,
            &chain,
            &server,
            &["get", "namespaces", "-o", "name"],
        )
        .await?;
        ensure!(
            namespaces.contains("namespace/kube-system"),
            "{server}: {namespaces}"
        );
    }
    chain.stop().await
}
