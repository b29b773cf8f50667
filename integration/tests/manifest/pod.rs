//! The one file in the API server: what each container holds.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use serde_json::{Value, json};

use crate::kubectl::{apply_file, kubectl, kubectl_json};
use crate::render::{RELEASE as NAMESPACE, manifests};

/// Where kubelet mounts a service account, and where clients look for it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const SIDECAR_SECRET: &str = "/run/culvert/sidecar-secret";

async fn apply(environment: &Environment, flags: &[&str]) -> Result<String> {
    apply_file(environment, &manifests("gitlab-connector-pod.yaml"), flags).await
}

/// The Deployment as the API server stored it.
async fn deployment(environment: &Environment) -> Result<Value> {
    apply(environment, &[]).await?;
    let arguments = [
        "get",
        "deployment",
        "gitlab-connector-pod",
        "--namespace",
        NAMESPACE,
    ];
    kubectl_json(environment, &arguments).await
}

fn container<'a>(deployment: &'a Value, name: &str) -> Result<&'a Value> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array();
    containers
        .into_iter()
        .flatten()
        .find(|container| container["name"] == name)
        .with_context(|| format!("no container {name}"))
}

/// Volume, path, and whether it can be written to.
fn mounts(container: &Value) -> Vec<(&str, &str, bool)> {
    let mounts = container["volumeMounts"].as_array();
    mounts
        .into_iter()
        .flatten()
        .filter_map(|mount| {
            let writable = mount["readOnly"] != true;
            Some((
                mount["name"].as_str()?,
                mount["mountPath"].as_str()?,
                writable,
            ))
        })
        .collect()
}

fn volume<'a>(deployment: &'a Value, name: &str) -> Result<&'a Value> {
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array();
    volumes
        .into_iter()
        .flatten()
        .find(|volume| volume["name"] == name)
        .with_context(|| format!("no volume {name}"))
}

pub(crate) async fn the_api_server_takes_the_one_file(environment: Arc<Environment>) -> Result<()> {
    let kubernetes = environment.kubernetes().await?;
    // A dry run creates no namespace for what is in it.
    kubernetes.create_namespace(NAMESPACE).await?;
    apply(&environment, &["--dry-run=server"]).await?;
    let applied = apply(&environment, &[]).await?;
    ensure!(applied.lines().count() == 4, "{applied}");

    // The namespace is `restricted`, which is enforced on pods alone: so one is
    // made as the Deployment's controller would.
    let deployment = deployment(&environment).await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "connector", "namespace": NAMESPACE },
        "spec": deployment["spec"]["template"]["spec"],
    });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pod.json");
    std::fs::write(&file, pod.to_string())?;
    let file = file.to_str().context("the temporary folder's path")?;
    let pod = kubectl_json(&environment, &["create", "--filename", file]).await?;
    let volumes = pod["spec"]["volumes"].as_array().context("no volumes")?;
    ensure!(
        volumes.len() == 3,
        "a token was mounted as well: {volumes:?}"
    );
    Ok(())
}

pub(crate) async fn each_container_holds_one_credential(
    environment: Arc<Environment>,
) -> Result<()> {
    let deployment = deployment(&environment).await?;
    let pod = &deployment["spec"]["template"]["spec"];
    ensure!(pod["automountServiceAccountToken"] == false);
    ensure!(
        mounts(container(&deployment, "proxy-sidecar")?)
            == [
                ("service-account", SERVICE_ACCOUNT, false),
                ("sidecar-secret", SIDECAR_SECRET, true)
            ]
    );
    ensure!(
        mounts(container(&deployment, "tunnel-client")?)
            == [
                ("connector-token", "/etc/culvert/connector-token", false),
                ("sidecar-secret", SIDECAR_SECRET, false)
            ]
    );
    let service_account = &volume(&deployment, "service-account")?["projected"];
    let connector_token = &volume(&deployment, "connector-token")?["secret"];
    for source in [service_account, connector_token] {
        ensure!(source["defaultMode"] == 0o440, "{source}");
    }
    // Another audience than its own the API server would refuse.
    let token = &service_account["sources"][0]["serviceAccountToken"];
    ensure!(
        token["path"] == "token" && token["audience"].is_null(),
        "{token}"
    );
    Ok(())
}

pub(crate) async fn the_secret_of_8001_is_in_memory(environment: Arc<Environment>) -> Result<()> {
    let deployment = deployment(&environment).await?;
    let volume = volume(&deployment, "sidecar-secret")?;
    ensure!(volume["emptyDir"]["medium"] == "Memory", "{volume}");
    Ok(())
}

pub(crate) async fn the_readmes_command_makes_its_secret(
    environment: Arc<Environment>,
) -> Result<()> {
    let readme = std::fs::read_to_string(manifests("../README.md"))?;
    let command = readme
        .lines()
        .find_map(|line| line.trim().strip_prefix("kubectl create secret "))
        .context("the README makes no secret")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("connector-token");
    std::fs::write(&file, "culvert_connector_x")?;
    let from = format!("--from-file=token={}", file.display());
    let command = command.replace("--from-file=token=connector-token", &from);

    let deployment = deployment(&environment).await?;
    let arguments = ["create", "secret", "--output", "json"];
    let arguments: Vec<_> = arguments.into_iter().chain(command.split(' ')).collect();
    let secret: Value = serde_json::from_str(&kubectl(&environment, &arguments).await?)?;
    let volume = &volume(&deployment, "connector-token")?["secret"];
    ensure!(
        secret["metadata"]["name"] == volume["secretName"],
        "{volume}"
    );
    ensure!(secret["metadata"]["namespace"] == NAMESPACE);
    // The manifest's --token-file ends with this key.
    ensure!(secret["data"]["token"].is_string(), "{secret}");
    Ok(())
}
