//! Each choice in a real API server: strictly validated, admitted under the
//! Pod Security standard `restricted`, without a warning.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use serde_json::{Value, json};

use crate::kubectl::apply;
use crate::objects::{Objects, only};
use crate::render::{Tools, folders, manifests};

pub(crate) async fn the_api_server_takes_each_choice_without_a_warning(
    environment: Arc<Environment>,
) -> Result<()> {
    let kubernetes = environment.kubernetes().await?;
    for namespace in ["team-a", "team-b"] {
        kubernetes.create_namespace(namespace).await?;
    }
    let tools = Tools::new(&environment).await?;
    taken(&environment, "base", &tools.base_with(&[])?).await?;
    for name in folders("components")? {
        taken(&environment, &name, &tools.base_with(&[&name])?).await?;
    }
    for name in folders("overlays")? {
        let folder = manifests("connector/overlays").join(&name);
        taken(&environment, &name, &tools.kustomize(&folder)?).await?;
    }
    Ok(())
}

/// The same objects with names of their own, so that choices do not meet in the
/// one cluster.
pub(crate) fn renamed(objects: &Objects, choice: &str) -> Result<Objects> {
    let text = serde_json::to_string(objects)?;
    Ok(serde_json::from_str(
        &text.replace("gitlab-connector", &format!("choice-{choice}")),
    )?)
}

async fn taken(environment: &Arc<Environment>, choice: &str, objects: &Objects) -> Result<()> {
    let objects = renamed(objects, choice)?;
    let all: Vec<Value> = objects.values().cloned().collect();
    // A dry run creates no namespace for what is in it.
    apply(environment, &[only(&objects, "Namespace")?.clone()], &[]).await?;
    let dry = apply(environment, &all, &["--dry-run=server"])
        .await
        .with_context(|| choice.to_owned())?;
    ensure!(dry.lines().count() == all.len(), "{choice}: {dry}");
    apply(environment, &all, &[]).await?;
    // `restricted` is enforced on pods alone.
    let pod = pod(&objects)?;
    apply(environment, &[pod], &["--dry-run=server"])
        .await
        .with_context(|| format!("{choice}: its pod"))?;
    let weak = weakened(self::pod(&objects)?);
    let refused = apply(environment, &[weak], &["--dry-run=server"]).await;
    let said = refused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure!(
        said.contains("violates PodSecurity \"restricted"),
        "{choice}: {said:?}"
    );
    Ok(())
}

/// A pod as the Deployment's controller would make it.
fn pod(objects: &Objects) -> Result<Value> {
    let deployment = only(objects, "Deployment")?;
    let template = &deployment["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels["pod-template-hash"] = "0".into();
    Ok(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "pod",
            "namespace": deployment["metadata"]["namespace"],
            "labels": labels,
        },
        "spec": template["spec"],
    }))
}

fn weakened(mut pod: Value) -> Value {
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    pod
}
