//! Kubernetes objects as kubectl's kustomize and helm render them, and how two
//! sets of them differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::environment::Environment;

/// Objects by `Kind namespace/name`.
pub type Objects = BTreeMap<String, Value>;

/// A file or folder below `manifests/`.
pub fn manifests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests")
        .join(path)
}

/// A chart as it is installed.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    /// Below `manifests/`.
    pub chart: &'a str,
}

/// The two tools, which need no cluster to render.
pub struct Tools {
    kubectl: PathBuf,
    helm: PathBuf,
    /// helm's own settings and caches, and what is written to be rendered.
    folder: TempDir,
}

impl Tools {
    pub async fn new(environment: &Environment) -> Result<Self> {
        let kubectl = environment.kubernetes().await?.kubectl().to_owned();
        let helm = tokio::task::spawn_blocking(|| {
            local_kubernetes::obtain_helm(&local_kubernetes::to_stderr)
        });
        Ok(Self {
            kubectl,
            helm: helm.await??,
            folder: tempfile::tempdir()?,
        })
    }

    /// helm, apart from what the user of this machine has set up for it.
    pub fn helm(&self, arguments: &[&str]) -> Command {
        let mut helm = Command::new(&self.helm);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(home, self.folder.path().join("helm"));
        }
        helm.args(arguments);
        helm
    }

    /// `helm template` with values files, or what helm says against them.
    pub fn template(&self, release: Release<'_>, values: &[PathBuf]) -> Result<Output> {
        let mut helm = self.helm(&["template", release.name, "--namespace", release.namespace]);
        helm.arg(manifests(release.chart));
        for file in values {
            helm.arg("--values").arg(file);
        }
        Ok(helm.output()?)
    }

    /// `helm template` with values as YAML.
    pub fn template_with(&self, release: Release<'_>, values: &str) -> Result<Output> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let file = folder.path().join("values.yaml");
        std::fs::write(&file, values)?;
        self.template(release, &[file])
    }

    /// The objects that a chart makes.
    pub fn chart(&self, release: Release<'_>, values: &[PathBuf]) -> Result<Objects> {
        let rendered = text(self.template(release, values)?)?;
        // Written as kustomize writes, so that numbers and quotes are alike.
        let folder = tempfile::tempdir_in(self.folder.path())?;
        std::fs::write(folder.path().join("rendered.yaml"), rendered)?;
        let kustomization = "resources: [rendered.yaml]\n";
        std::fs::write(folder.path().join("kustomization.yaml"), kustomization)?;
        self.kustomize(folder.path())
    }

    /// The objects of a folder with a kustomization.
    pub fn kustomize(&self, folder: &Path) -> Result<Objects> {
        let output = Command::new(&self.kubectl)
            .arg("kustomize")
            .arg(folder)
            .output()?;
        parse(&text(output)?)
    }

    /// The `base` below a folder with some of the `components` beside it, as a user
    /// would name them.
    pub fn base_with(&self, parent: &Path, components: &[&str]) -> Result<Objects> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let parent = relative(folder.path(), parent)?;
        let mut kustomization = format!("resources: [{parent}/base]\n");
        if !components.is_empty() {
            kustomization += "components:\n";
        }
        for component in components {
            kustomization += &format!("  - {parent}/components/{component}\n");
        }
        std::fs::write(folder.path().join("kustomization.yaml"), kustomization)?;
        self.kustomize(folder.path())
    }
}

/// The way to `target`: kustomize refuses absolute ones.
fn relative(folder: &Path, target: &Path) -> Result<String> {
    let (folder, target) = (folder.canonicalize()?, target.canonicalize()?);
    let up = "../".repeat(folder.components().count() - 1);
    let target = target.strip_prefix("/")?.to_str();
    Ok(up + target.context("the checkout's path")?)
}

fn text(output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The names of the folders in one, sorted.
pub fn folders(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    ensure!(!names.is_empty(), "{} is empty", path.display());
    Ok(names)
}

/// Reads a stream of YAML documents.
pub fn parse(text: &str) -> Result<Objects> {
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
    let kind = object["kind"].as_str().context("an object has no kind")?;
    let name = metadata["name"].as_str().context("an object has no name")?;
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    Ok(format!("{kind} {namespace}/{name}"))
}

/// The only object of a kind.
pub fn only<'a>(objects: &'a Objects, kind: &str) -> Result<&'a Value> {
    let mut found = objects.values().filter(|object| object["kind"] == kind);
    let object = found.next().with_context(|| format!("no {kind}"))?;
    ensure!(found.next().is_none(), "more than one {kind}");
    Ok(object)
}

/// What differs, a line each: where, and both values.
pub fn differences(left: &Objects, right: &Objects) -> Vec<String> {
    let as_value = |objects: &Objects| Value::Object(objects.clone().into_iter().collect());
    let mut found = Vec::new();
    compare("", &as_value(left), &as_value(right), &mut found);
    found
}

fn compare(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                compare(&format!("{path}.{key}"), &of(left), &of(right), found);
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
