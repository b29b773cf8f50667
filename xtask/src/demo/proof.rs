//! Proves with real calls that the chain works.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::stage::{CLUSTER, Stage};

/// Makes the calls; prints a line for each.
pub(super) async fn prove(stage: &Stage) -> Result<()> {
    let namespaces = kubectl(stage, &["get", "namespaces", "--output=name"]).await?;
    ensure!(
        namespaces.contains("namespace/kube-system"),
        "kubectl saw: {namespaces}"
    );
    proved(&format!(
        "kubectl get namespaces, by path: {}",
        namespaces.replace('\n', " ")
    ));

    let http = client(stage)?;
    let version: Value = call(stage, &http, reqwest::Method::GET, "/version", None).await?;
    proved(&format!(
        "GET /version, by hostname {}: {}",
        stage.host(),
        version["gitVersion"].as_str().unwrap_or("?")
    ));

    watch_sees_a_change(stage, &http).await?;
    proved("a watch by hostname saw a change as it happened");

    let refused = http
        .get(format!("{}/version", stage.url_by_host()))
        .send()
        .await?;
    let status = refused.status();
    let error = refused.headers().get("culvert-error").cloned();
    ensure!(
        status == 401 && error.is_some(),
        "a caller without a token got {status}"
    );
    proved("a caller without a token is refused: 401");

    let unknown = call::<Value>(
        stage,
        &http,
        reqwest::Method::GET,
        "/version",
        Some("nowhere"),
    )
    .await;
    ensure!(
        unknown.is_err_and(|error| error.to_string().contains("404")),
        "an unknown cluster is not refused"
    );
    proved("an unknown cluster is not found: 404");
    Ok(())
}

fn proved(what: &str) {
    println!("  ✓ {what}");
}

async fn kubectl(stage: &Stage, arguments: &[&str]) -> Result<String> {
    let output = Command::new(&stage.kubectl)
        .args(arguments)
        .env("KUBECONFIG", stage.kubeconfig())
        .output()
        .await
        .context("cannot run kubectl")?;
    ensure!(
        output.status.success(),
        "kubectl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A client that finds the hostnames without any name service.
fn client(stage: &Stage) -> Result<reqwest::Client> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(stage.ca_file())?)?;
    let address = SocketAddr::from(([127, 0, 0, 1], stage.port));
    let nowhere = stage.host().replace(CLUSTER, "nowhere");
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
    Ok(builder
        .resolve(&stage.host(), address)
        .resolve(&nowhere, address)
        .build()?)
}

async fn call<T: serde::de::DeserializeOwned>(
    stage: &Stage,
    http: &reqwest::Client,
    method: reqwest::Method,
    path: &str,
    cluster: Option<&str>,
) -> Result<T> {
    let url = stage
        .url_by_host()
        .replace(CLUSTER, cluster.unwrap_or(CLUSTER));
    let response = http
        .request(method, format!("{url}{path}"))
        .bearer_auth(stage.access_token.expose())
        .send()
        .await?;
    Ok(response.error_for_status()?.json().await?)
}

/// Opens a watch, then changes something; the change must come while the stream
/// is otherwise silent.
async fn watch_sees_a_change(stage: &Stage, http: &reqwest::Client) -> Result<()> {
    const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let list: Value = call(stage, http, reqwest::Method::GET, CONFIG_MAPS, None).await?;
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .context("the list has no version")?;
    let url = format!("{}{CONFIG_MAPS}", stage.url_by_host());
    let watched = format!("{url}?watch=true&resourceVersion={version}");
    let mut watch = http
        .get(watched)
        .bearer_auth(stage.access_token.expose())
        .send()
        .await?
        .error_for_status()?;
    let object =
        json!({ "metadata": { "generateName": "culvert-demo-" }, "data": { "proved": "yes" } });
    let created = http
        .post(&url)
        .bearer_auth(stage.access_token.expose())
        .json(&object)
        .send()
        .await?;
    let created: Value = created.error_for_status()?.json().await?;
    let name = created["metadata"]["name"]
        .as_str()
        .context("the object has no name")?;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(name) {
        let chunk = watch
            .chunk()
            .await?
            .context("the watch ended without the change")?;
        seen.extend_from_slice(&chunk);
    }
    call::<Value>(
        stage,
        http,
        reqwest::Method::DELETE,
        &format!("{CONFIG_MAPS}/{name}"),
        None,
    )
    .await?;
    Ok(())
}
