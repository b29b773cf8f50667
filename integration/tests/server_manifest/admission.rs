//! What the API server says.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::admin_kubectl::kubectl;
use integration::environment::Environment;
use integration::gateway_crds;
use integration::rendered::{Objects, Tools, manifests, only};
use serde_json::{Value, json};

use crate::renderings::{self, NAMESPACE};

async fn dry_run(environment: &Environment, objects: &[&Value]) -> Result<String> {
    // A dry run creates no namespace for what is in it.
    let kubernetes = environment.kubernetes().await?;
    kubernetes.create_namespace(NAMESPACE).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("objects.json");
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    std::fs::write(&file, list.to_string())?;
    let file = file.to_str().context("the temporary folder's path")?;
    let flags = ["--server-side", "--dry-run=server", "--validate=strict"];
    kubectl(
        environment,
        &[["apply"].as_slice(), &flags, &["--filename", file]].concat(),
    )
    .await
}

fn is_gateways(object: &Value) -> bool {
    object["apiVersion"] == "gateway.networking.k8s.io/v1"
}

pub(crate) async fn the_api_server_takes_each_choice(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    for rendering in renderings::all(&tools)? {
        for objects in [&rendering.kustomize, &rendering.chart] {
            let built_in: Vec<_> = objects.values().filter(|it| !is_gateways(it)).collect();
            dry_run(&environment, &built_in)
                .await
                .with_context(|| rendering.name.clone())?;
        }
    }
    Ok(())
}

pub(crate) async fn a_gateway_takes_what_is_for_it(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let definitions = gateway_crds::obtain().await?;
    for kind in ["gateways", "tlsroutes"] {
        let name = format!("{kind}.gateway.networking.k8s.io");
        let file = definitions.join(format!("gateway.networking.k8s.io_{kind}.yaml"));
        let file = file.to_str().context("the module's path")?;
        kubectl(
            &environment,
            &["apply", "--server-side", "--filename", file],
        )
        .await?;
        let established = ["wait", "--for=condition=Established", "crd", &name];
        kubectl(&environment, &established).await?;
    }
    let mut seen = 0;
    for rendering in renderings::all(&tools)? {
        for objects in [&rendering.kustomize, &rendering.chart] {
            let gateways: Vec<_> = objects.values().filter(|it| is_gateways(it)).collect();
            seen += gateways.len();
            if !gateways.is_empty() {
                dry_run(&environment, &gateways).await?;
                passes_through(objects)?;
            }
        }
    }
    ensure!(seen == 4, "{seen} objects of the Gateway API");
    Ok(())
}

/// TLS is not ended on the way, and the route leads to the Service's port.
fn passes_through(objects: &Objects) -> Result<()> {
    let gateway = only(objects, "Gateway")?;
    let listener = &gateway["spec"]["listeners"][0];
    ensure!(
        listener["protocol"] == "TLS" && listener["tls"]["mode"] == "Passthrough",
        "{listener}"
    );
    let route = &only(objects, "TLSRoute")?["spec"];
    ensure!(route["parentRefs"][0]["sectionName"] == listener["name"]);
    let backend = &route["rules"][0]["backendRefs"][0];
    let service = only(objects, "Service")?;
    ensure!(backend["name"] == service["metadata"]["name"]);
    ensure!(backend["port"] == service["spec"]["ports"][0]["port"]);
    Ok(())
}

/// Pod Security is enforced on pods alone: so one is made as the Deployment's
/// controller would.
pub(crate) async fn the_pod_is_restricted(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let base = tools.kustomize(&manifests("server/base"))?;
    let labels = &only(&base, "Namespace")?["metadata"]["labels"];
    let enforced = "pod-security.kubernetes.io/enforce";
    ensure!(labels[enforced] == "restricted", "{labels}");
    environment
        .kubernetes()
        .await?
        .create_namespace("restricted")
        .await?;
    let label = format!("{enforced}=restricted");
    kubectl(
        &environment,
        &["label", "namespace", "restricted", &label, "--overwrite"],
    )
    .await?;
    // What the control plane's controllers would make.
    let default = [
        "create",
        "serviceaccount",
        "default",
        "--namespace",
        "restricted",
    ];
    kubectl(&environment, &default).await?;
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "tunnel-server", "namespace": "restricted" },
        "spec": only(&base, "Deployment")?["spec"]["template"]["spec"],
    });
    dry_run(&environment, &[&pod]).await?;
    pod["spec"]["securityContext"]["runAsNonRoot"] = false.into();
    let refused = dry_run(&environment, &[&pod]).await;
    ensure!(refused.is_err(), "the namespace enforces nothing");
    Ok(())
}

pub(crate) async fn the_command_makes_its_secret(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let base = tools.kustomize(&manifests("server/base"))?;
    let kustomization = std::fs::read_to_string(manifests("server/base/kustomization.yaml"))?;
    let command = kustomization
        .lines()
        .find_map(|line| line.strip_prefix("#   kubectl create secret "))
        .context("no command")?;
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["clusters.example.com".to_owned()])?;
    let path = |name: &str| -> Result<String> {
        let path = folder.path().join(name);
        Ok(path.to_str().context("the folder's path")?.to_owned())
    };
    std::fs::write(path("tls.crt")?, made.cert.pem())?;
    std::fs::write(path("tls.key")?, made.signing_key.serialize_pem())?;
    let command = command
        .replace("--cert=tls.crt", &format!("--cert={}", path("tls.crt")?))
        .replace("--key=tls.key", &format!("--key={}", path("tls.key")?));
    let arguments: Vec<_> = ["create", "secret"]
        .into_iter()
        .chain(command.split(' '))
        .chain(["--dry-run=server", "--output=json"])
        .collect();
    environment
        .kubernetes()
        .await?
        .create_namespace(NAMESPACE)
        .await?;
    let secret: Value = serde_json::from_str(&kubectl(&environment, &arguments).await?)?;
    let pod = &only(&base, "Deployment")?["spec"]["template"]["spec"];
    ensure!(secret["type"] == "kubernetes.io/tls");
    ensure!(secret["metadata"]["name"] == pod["volumes"][1]["secret"]["secretName"]);
    for file in ["certificateFile", "keyFile"] {
        let config = only(&base, "ConfigMap")?["data"]["tunnel-server.yaml"].as_str();
        let config: Value = serde_saphyr::from_str(config.context("no file")?)?;
        let path = config["certificate"][file].as_str().context("no path")?;
        let key = Path::new(path).file_name().and_then(|name| name.to_str());
        ensure!(
            secret["data"][key.unwrap_or_default()].is_string(),
            "{path}"
        );
    }
    Ok(())
}
