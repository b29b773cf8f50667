//! What kubectl's kustomize and helm make of the files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use integration::environment::Environment;
use tempfile::TempDir;

use crate::objects::{Objects, parse};

/// The release's name and namespace that give the names of the base.
pub(crate) const RELEASE: &str = "gitlab-connector";

/// A folder or file below `manifests/`.
pub(crate) fn manifests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests")
        .join(path)
}

/// The names of the folders in one below `manifests/connector`.
pub(crate) fn folders(path: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(manifests("connector").join(path))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    ensure!(!names.is_empty(), "{path} is empty");
    Ok(names)
}

/// The two tools, which need no cluster to render.
pub(crate) struct Tools {
    kubectl: PathBuf,
    helm: PathBuf,
    /// helm's own settings and caches, and what is written to be rendered.
    folder: TempDir,
}

impl Tools {
    pub(crate) async fn new(environment: &Environment) -> Result<Self> {
        let kubectl = environment.kubernetes().await?.kubectl().to_owned();
        let helm = tokio::task::spawn_blocking(|| {
            local_kubernetes::obtain_helm(&local_kubernetes::to_stderr)
        })
        .await??;
        Ok(Self {
            kubectl,
            helm,
            folder: tempfile::tempdir()?,
        })
    }

    /// helm, apart from what the user of this machine has set up for it.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Command {
        let mut helm = Command::new(&self.helm);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(home, self.folder.path().join("helm"));
        }
        helm.args(arguments);
        helm
    }

    /// `helm template` with values files, or what helm says against them.
    pub(crate) fn template(&self, values: &[PathBuf]) -> Result<Output> {
        let mut helm = self.helm(&["template", RELEASE, "--namespace", RELEASE]);
        helm.arg(manifests("connector/chart"));
        for file in values {
            helm.arg("--values").arg(file);
        }
        Ok(helm.output()?)
    }

    /// The objects that the chart makes.
    pub(crate) fn chart(&self, values: &[PathBuf]) -> Result<Objects> {
        let rendered = text(self.template(values)?)?;
        // Written as kustomize writes, so that numbers and quotes are alike.
        let folder = tempfile::tempdir_in(self.folder.path())?;
        std::fs::write(folder.path().join("rendered.yaml"), rendered)?;
        let kustomization = "resources: [rendered.yaml]\n";
        std::fs::write(folder.path().join("kustomization.yaml"), kustomization)?;
        self.kustomize(folder.path())
    }

    /// The objects of a folder with a kustomization.
    pub(crate) fn kustomize(&self, folder: &Path) -> Result<Objects> {
        let output = Command::new(&self.kubectl)
            .arg("kustomize")
            .arg(folder)
            .output()?;
        parse(&text(output)?)
    }

    /// The base with components, as a user would name them.
    pub(crate) fn base_with(&self, components: &[&str]) -> Result<Objects> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let connector = from(folder.path(), &manifests("connector"))?;
        let mut kustomization = format!("resources: [{connector}/base]\n");
        if !components.is_empty() {
            kustomization += "components:\n";
        }
        for component in components {
            kustomization += &format!("  - {connector}/components/{component}\n");
        }
        std::fs::write(folder.path().join("kustomization.yaml"), kustomization)?;
        self.kustomize(folder.path())
    }
}

/// The way to `target`: kustomize refuses absolute ones.
fn from(folder: &Path, target: &Path) -> Result<String> {
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
