//! What an image says of itself.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cargo::{metadata, workspace};

const PREFIX: &str = "org.opencontainers.image";

/// The label that a checkout with changes of its own goes without.
pub(crate) const REVISION: &str = "org.opencontainers.image.revision";

/// What cargo and git know.
#[derive(Debug)]
pub(crate) struct Labels {
    packages: Vec<Package>,
    revision: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    description: String,
    license: String,
}

impl Labels {
    pub(crate) fn read() -> Result<Self> {
        #[derive(Deserialize)]
        struct Metadata {
            packages: Vec<Package>,
        }
        let metadata: Metadata = serde_json::from_value(metadata()?)
            .context("a package lacks a description or a licence")?;
        Ok(Self {
            packages: metadata.packages,
            revision: revision(),
        })
    }

    /// The version, which all packages share.
    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The labels of a package's image.
    pub(crate) fn of(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let package = self
            .packages
            .iter()
            .find(|package| package.name == name)
            .with_context(|| format!("there is no package {name}"))?;
        let mut labels: BTreeMap<_, _> = [
            ("title", &package.name),
            ("description", &package.description),
            ("version", &package.version),
            ("licenses", &package.license),
        ]
        .map(|(label, value)| (format!("{PREFIX}.{label}"), value.clone()))
        .into();
        if let Some(revision) = &self.revision {
            labels.insert(REVISION.to_owned(), revision.clone());
        }
        Ok(labels)
    }
}

/// The commit, where the checkout is what the commit says.
fn revision() -> Option<String> {
    git(&["status", "--porcelain"]).filter(String::is_empty)?;
    git(&["rev-parse", "--verify", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(workspace())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
