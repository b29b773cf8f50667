//! Several pods, each with a link of its own, and what guards them.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::steady_calls::SteadyCalls;
use integration::wait::until;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::connector::{Connector, DEPLOYMENT};
use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::{SOON, Set, Stage};

/// Before and after a rollout.
const CALLS: usize = 100;
/// Connectors with `high-availability` share a priority class, which is removed with the
/// first of them: the other's pods could not be replaced any more.
static PRIORITY_CLASS: Mutex<()> = Mutex::const_new(());

pub(crate) async fn two_pods_have_a_link_each(stage: Arc<Stage>) -> Result<()> {
    let _only_one = PRIORITY_CLASS.lock().await;
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

/// With a call every 10 ms, by a connection that is kept and by new ones.
pub(crate) async fn a_rollout_costs_no_call(stage: Arc<Stage>) -> Result<()> {
    let _only_one = PRIORITY_CLASS.lock().await;
    let set = stage.set().await?;
    let connector = Connector::install(set, "rolled", &["high-availability"]).await?;
    let ca = reqwest::Certificate::from_pem(&std::fs::read(set.server.ca_file())?)?;
    let client = || -> Result<reqwest::ClientBuilder> {
        Ok(reqwest::Client::builder()
            .proxy(reqwest::Proxy::all(set.connect_proxy())?)
            .timeout(SOON)
            .tls_certs_only([ca.clone()]))
    };
    let kept = client()?.build()?;
    let new_each = client()?.http1_only().pool_max_idle_per_host(0).build()?;
    let url = format!("https://{}.{BASE_DOMAIN}:{PORT}/version", connector.name);
    let token = connector.access_token.expose();
    let mut calls = SteadyCalls::start(vec![kept, new_each], &url, token);
    calls.more(CALLS).await?;
    let before = calls.count();
    let namespace = format!("--namespace={}", connector.namespace);
    let deployment = format!("deployment/{DEPLOYMENT}");
    let rollout = async {
        let restart = ["rollout", "restart", &deployment, &namespace];
        set.admin(&restart).await?;
        let status = [
            "rollout",
            "status",
            &deployment,
            &namespace,
            "--timeout=180s",
        ];
        set.admin(&status).await
    };
    if let Err(error) = calls.during(rollout).await? {
        let pods = set.admin(&["describe", "pods", &namespace]).await?;
        return Err(error.context(pods));
    }
    println!(
        "{} calls while both pods were replaced",
        calls.count() - before
    );
    calls.more(CALLS).await?;
    println!("{} calls, and none failed", calls.end().await?);
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
