//! What kubectl's kustomize and helm make of the connector's files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Result;
use integration::environment::Environment;
use integration::rendered;

pub(crate) use integration::rendered::manifests;

use crate::objects::Objects;

/// The release's name and namespace that give the names of the base.
pub(crate) const RELEASE: &str = "gitlab-connector";

const CHART: rendered::Release<'static> = rendered::Release {
    name: RELEASE,
    namespace: RELEASE,
    chart: "connector/chart",
};

/// The names of the folders in one below `manifests/connector`.
pub(crate) fn folders(path: &str) -> Result<Vec<String>> {
    rendered::folders(&manifests("connector").join(path))
}

/// The two tools, for the connector.
pub(crate) struct Tools(rendered::Tools);

impl Tools {
    pub(crate) async fn new(environment: &Environment) -> Result<Self> {
        Ok(Self(rendered::Tools::new(environment).await?))
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Command {
        self.0.helm(arguments)
    }

    /// `helm template` with values files, or what helm says against them.
    pub(crate) fn template(&self, values: &[PathBuf]) -> Result<Output> {
        self.0.template(CHART, values)
    }

    /// The objects that the chart makes.
    pub(crate) fn chart(&self, values: &[PathBuf]) -> Result<Objects> {
        self.0.chart(CHART, values)
    }

    /// The objects of a folder with a kustomization.
    pub(crate) fn kustomize(&self, folder: &Path) -> Result<Objects> {
        self.0.kustomize(folder)
    }

    /// The base with components, as a user would name them.
    pub(crate) fn base_with(&self, components: &[&str]) -> Result<Objects> {
        self.0.base_with(&manifests("connector"), components)
    }
}
