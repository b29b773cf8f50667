//! The connector's manifest, as the API server and our own binaries read it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use integration::environment::Environment;
use integration::{suite, tests};
use serde_json::{Value, json};

const NAMESPACE: &str = "gitlab-connector";
/// Where kubelet mounts a service account, and where clients look for it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn main() -> ExitCode {
    suite::run(tests![
        the_api_server_takes_it_without_a_warning,
        each_container_holds_one_credential,
        the_readmes_command_makes_its_secret,
        the_binaries_take_its_flags
    ])
}

fn manifest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/gitlab-connector-pod.yaml")
}

/// Runs kubectl as the administrator: gives what it prints, fails on anything
/// that it warns of.
async fn kubectl(environment: &Environment, arguments: &[&str]) -> Result<String> {
    let kubernetes = environment.kubernetes().await?;
    let output = tokio::process::Command::new(kubernetes.kubectl())
        .arg("--kubeconfig")
        .arg(kubernetes.admin_kubeconfig())
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

async fn apply(environment: &Environment, flags: &[&str]) -> Result<String> {
    let manifest = manifest();
    let mut arguments = vec!["apply", "--server-side", "--filename"];
    arguments.push(manifest.to_str().context("the checkout's path")?);
    arguments.extend(flags);
    kubectl(environment, &arguments).await
}

/// The Deployment as the API server stored it.
async fn deployment(environment: &Environment) -> Result<Value> {
    apply(environment, &[]).await?;
    let arguments = ["get", "deployment", "gitlab-connector-pod"];
    let flags = ["--namespace", NAMESPACE, "--output", "json"];
    let text = kubectl(environment, &[arguments.as_slice(), &flags].concat()).await?;
    Ok(serde_json::from_str(&text)?)
}

fn container<'a>(deployment: &'a Value, name: &str) -> Result<&'a Value> {
    deployment["spec"]["template"]["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|container| container["name"] == name)
        .with_context(|| format!("no container {name}"))
}

fn mounts(container: &Value) -> Vec<(&str, &str)> {
    container["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|mount| Some((mount["name"].as_str()?, mount["mountPath"].as_str()?)))
        .collect()
}

async fn the_api_server_takes_it_without_a_warning(environment: Arc<Environment>) -> Result<()> {
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
    let create = ["create", "--filename", file, "--output", "json"];
    let pod: Value = serde_json::from_str(&kubectl(&environment, &create).await?)?;
    let volumes = pod["spec"]["volumes"].as_array().context("no volumes")?;
    ensure!(
        volumes.len() == 2,
        "a token was mounted as well: {volumes:?}"
    );
    Ok(())
}

async fn each_container_holds_one_credential(environment: Arc<Environment>) -> Result<()> {
    let deployment = deployment(&environment).await?;
    let pod = &deployment["spec"]["template"]["spec"];
    ensure!(pod["automountServiceAccountToken"] == false);
    ensure!(
        mounts(container(&deployment, "proxy-sidecar")?) == [("service-account", SERVICE_ACCOUNT)]
    );
    ensure!(
        mounts(container(&deployment, "tunnel-client")?)
            == [("connector-token", "/etc/culvert/connector-token")]
    );
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let source = if volume["name"] == "service-account" {
            &volume["projected"]
        } else {
            &volume["secret"]
        };
        ensure!(source["defaultMode"] == 0o440, "{volume}");
    }
    // Another audience than its own the API server would refuse.
    let token = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    ensure!(
        token["path"] == "token" && token["audience"].is_null(),
        "{token}"
    );
    Ok(())
}

async fn the_readmes_command_makes_its_secret(environment: Arc<Environment>) -> Result<()> {
    let readme = std::fs::read_to_string(manifest().with_file_name("../README.md"))?;
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
    let arguments = ["create", "secret"].into_iter().chain(command.split(' '));
    let arguments: Vec<_> = arguments.chain(["--output", "json"]).collect();
    let secret: Value = serde_json::from_str(&kubectl(&environment, &arguments).await?)?;
    let volume = &deployment["spec"]["template"]["spec"]["volumes"][1]["secret"];
    ensure!(
        secret["metadata"]["name"] == volume["secretName"],
        "{volume}"
    );
    ensure!(secret["metadata"]["namespace"] == NAMESPACE);
    // The manifest's --token-file ends with this key.
    ensure!(secret["data"]["token"].is_string(), "{secret}");
    Ok(())
}

async fn the_binaries_take_its_flags(environment: Arc<Environment>) -> Result<()> {
    let deployment = deployment(&environment).await?;
    let arguments = |name: &str| -> Result<Vec<String>> {
        let arguments = container(&deployment, name)?["args"].as_array();
        let arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
        Ok([name]
            .into_iter()
            .chain(arguments)
            .map(str::to_owned)
            .collect())
    };
    let sidecar = proxy_sidecar::Args::try_parse_from(arguments("proxy-sidecar")?)?;
    ensure!(sidecar.require_own_credential);
    let default = proxy_sidecar::Args::try_parse_from(["proxy-sidecar"])?;
    ensure!(
        sidecar.reject_paths == default.reject_paths,
        "the filter is not the default"
    );

    let client = tunnel_client::Args::try_parse_from(arguments("tunnel-client")?)?;
    let token_file = client.token_file.context("no --token-file")?;
    let (_, folder) = mounts(container(&deployment, "tunnel-client")?)[0];
    ensure!(token_file == Path::new(folder).join("token"));

    for (name, admin) in [
        ("proxy-sidecar", sidecar.admin_address),
        ("tunnel-client", client.admin_address),
    ] {
        ensure!(!admin.ip().is_loopback(), "kubelet cannot probe {admin}");
        let port = &container(&deployment, name)?["ports"][0]["containerPort"];
        ensure!(*port == admin.port(), "{name}: {port}");
    }
    Ok(())
}
