//! The shortest way through all of it.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::stage::Stage;

pub(crate) async fn kubectl_reads_the_cluster_through_the_pod(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let nodes = caller.kubectl(&["get", "nodes", "--output=name"]).await?;
    ensure!(
        nodes.trim() == format!("node/{}", set.cluster.node()),
        "{nodes}"
    );
    Ok(())
}
