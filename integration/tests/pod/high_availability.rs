//! Several pods, each with a link of its own, and what guards them.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::wait::until;
use serde_json::{Value, json};

use crate::connector::{Connector, DEPLOYMENT};
use crate::stage::{SOON, Set, Stage};

pub(crate) async fn two_pods_have_a_link_each(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "available", &["high-availability"]).await?;
    let caller = connector.caller(set)?;
    let pods = connector.pods(set).await?;
    ensure!(pods.len() == 2, "{} pods", pods.len());
    for pod in &pods {
        ensure!(pod["spec"]["priorityClassName"] == "gitlab-connector");
        ensure!(pod["spec"]["priority"] == 1_000_000, "{}", pod["spec"]);
    }
    let links = links(&set.server.log().await?, &connector.name)?;
    ensure!(links.len() == 2, "{links:?}");
    let budget = budget(&connector, set).await?;
    ensure!(budget["expectedPods"] == 2, "{budget}");

    // One goes as when its node is drained; calls go on through the other.
    let evicted = pods[0]["metadata"]["name"].as_str().context("no name")?;
    evict(&connector, set, evicted).await?;
    for _ in 0..5 {
        caller.kubectl(&["get", "pods", "--all-namespaces"]).await?;
    }
    until("the other pod", SOON, || async {
        let pods = connector.pods(set).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok((ready == 2).then_some(()))
    })
    .await?;
    connector.ready(set).await?;
    self::budget(&connector, set).await?;
    connector.remove(set).await
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The tunnel-clients of a cluster that linked, as the server's log tells.
fn links(log: &str, cluster: &str) -> Result<BTreeSet<String>> {
    let mut links = BTreeSet::new();
    for line in log.lines().filter(|line| line.contains("\"linked\"")) {
        let line: Value = serde_json::from_str(line)?;
        if line["span"]["cluster"] == cluster {
            links.insert(line["span"]["instance"].to_string());
        }
    }
    Ok(links)
}

/// The budget's status, when one pod may be taken.
async fn budget(connector: &Connector, set: &Set) -> Result<Value> {
    let namespace = format!("--namespace={}", connector.namespace);
    until("a disruption that is allowed", SOON, || async {
        let kind = "poddisruptionbudget";
        let arguments = ["get", kind, DEPLOYMENT, &namespace, "--output=json"];
        let mut budget: Value = serde_json::from_str(&set.admin(&arguments).await?)?;
        let status = budget["status"].take();
        Ok((status["disruptionsAllowed"] == 1).then_some(status))
    })
    .await
}

async fn evict(connector: &Connector, set: &Set, pod: &str) -> Result<()> {
    let namespace = &connector.namespace;
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": namespace },
    });
    let file = tempfile::NamedTempFile::new_in(set.folder())?;
    std::fs::write(file.path(), eviction.to_string())?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    let file = file.path().to_str().context("a file's name")?;
    set.admin(&["create", "--raw", &path, "--filename", file])
        .await
        .map(drop)
}
