//! The shortest way through all of it, by kubectl and by kube-rs.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::binaries;
use tokio::process::Command;

use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::Stage;

pub(crate) async fn kubectl_reads_the_cluster_through_the_pod(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let nodes = caller.kubectl(&["get", "nodes", "--output=name"]).await?;
    let expected = format!("node/{}", set.cluster.node());
    ensure!(nodes.trim() == expected, "{nodes}");
    Ok(())
}

/// With the example that is there for users of kube-rs.
pub(crate) async fn kube_rs_reads_the_cluster_through_the_pod(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = set.connector().await?;
    let token_file = set.folder().join("kube-rs-token");
    std::fs::write(&token_file, connector.access_token.expose())?;
    let url = format!("https://{}.{BASE_DOMAIN}:{PORT}", connector.name);
    let output = Command::new(binaries::culvert("example-kube-client")?)
        .env("CULVERT_URL", url)
        .env("CULVERT_CA_FILE", set.server.ca_file())
        .env("CULVERT_TOKEN_FILE", &token_file)
        // No DNS of this machine knows the hostname.
        .env("HTTPS_PROXY", set.connect_proxy())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{output:?}");
    ensure!(said.lines().any(|line| line == "kube-system"), "{said}");
    Ok(())
}
