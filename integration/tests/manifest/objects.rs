//! Kubernetes objects by kind and name, and how two sets of them differ.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Objects by `Kind namespace/name`.
pub(crate) type Objects = BTreeMap<String, Value>;

/// Reads a stream of YAML documents.
pub(crate) fn parse(text: &str) -> Result<Objects> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    let mut objects = Objects::new();
    for object in documents {
        let key = key(&object)?;
        ensure!(
            objects.insert(key.clone(), object).is_none(),
            "twice: {key}"
        );
    }
    Ok(objects)
}

fn key(object: &Value) -> Result<String> {
    let metadata = &object["metadata"];
    let kind = object["kind"]
        .as_str()
        .context("an object without a kind")?;
    let name = metadata["name"]
        .as_str()
        .context("an object without a name")?;
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    Ok(format!("{kind} {namespace}/{name}"))
}

/// The only object of a kind.
pub(crate) fn only<'a>(objects: &'a Objects, kind: &str) -> Result<&'a Value> {
    let mut found = objects.values().filter(|object| object["kind"] == kind);
    let object = found.next().with_context(|| format!("no {kind}"))?;
    ensure!(found.next().is_none(), "more than one {kind}");
    Ok(object)
}

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

/// What differs, a line each: where, and both values.
pub(crate) fn differences(left: &Objects, right: &Objects) -> Vec<String> {
    let mut found = Vec::new();
    let (left, right) = (as_value(left), as_value(right));
    compare("", &left, &right, &mut found);
    found
}

fn as_value(objects: &Objects) -> Value {
    Value::Object(objects.clone().into_iter().collect())
}

fn compare(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                let (left, right) = (of(left).unwrap_or_default(), of(right).unwrap_or_default());
                compare(&format!("{path}.{key}"), &left, &right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), left, right, found);
            }
        }
        _ if left == right => {}
        _ => found.push(format!("{path}: {left} | {right}")),
    }
}
