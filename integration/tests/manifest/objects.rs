//! What is looked up in the connector's objects.

use anyhow::{Context, Result};
use serde_json::Value;

pub(crate) use integration::rendered::{Objects, differences, only};

/// All containers of the Deployment's pod, those that start first as well.
pub(crate) fn containers(objects: &Objects) -> Result<Vec<&Value>> {
    let pod = &only(objects, "Deployment")?["spec"]["template"]["spec"];
    Ok(["initContainers", "containers"]
        .iter()
        .filter_map(|list| pod[list].as_array())
        .flatten()
        .collect())
}

/// A container by name.
pub(crate) fn container<'a>(objects: &'a Objects, name: &str) -> Result<&'a Value> {
    containers(objects)?
        .into_iter()
        .find(|container| container["name"] == name)
        .with_context(|| format!("no container {name}"))
}
