//! The Kustomize base with its components and the chart say the same.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::rendered::{Objects, Tools, differences, manifests};
use serde_json::Value;

use crate::renderings;

const CONFIG_MAP: &str = "ConfigMap culvert/tunnel-server";

/// The configuration as an object: comments and the order of keys are free.
fn read_config(mut objects: Objects) -> Result<Objects> {
    let config = objects
        .get_mut(CONFIG_MAP)
        .and_then(|map| map["data"].get_mut("tunnel-server.yaml"))
        .context("no tunnel-server.yaml")?;
    let text = config.as_str().context("no text")?;
    *config = serde_saphyr::from_str::<Value>(text)?;
    Ok(objects)
}

pub(crate) async fn the_chart_makes_what_kustomize_makes(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    for rendering in renderings::all(&tools)? {
        let mut kustomize = read_config(rendering.kustomize)?;
        // A namespace is the one thing that the chart leaves to its user: helm
        // keeps the release in it, and would delete it with all that is in it.
        kustomize
            .remove("Namespace /culvert")
            .context("no Namespace")?;
        let found = differences(&kustomize, &read_config(rendering.chart)?);
        ensure!(
            found.is_empty(),
            "{}: kustomize | chart differ:\n{}",
            rendering.name,
            found.join("\n")
        );
    }
    Ok(())
}

pub(crate) async fn the_versions_are_the_workspaces(_: Arc<Environment>) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart = std::fs::read_to_string(manifests("server/chart/Chart.yaml"))?;
    for key in ["version", "appVersion"] {
        let line = format!("\n{key}: {version}\n");
        ensure!(chart.contains(&line), "Chart.yaml: {key} is not {version}");
    }
    let deployment = std::fs::read_to_string(manifests("server/base/deployment.yaml"))?;
    let image = format!(" image: culvert/tunnel-server:{version}\n");
    ensure!(deployment.contains(&image), "the base's image");
    Ok(())
}
