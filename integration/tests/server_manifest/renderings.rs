//! What is rendered: the base, each component, each overlay, by both tools.

use std::path::PathBuf;

use anyhow::Result;
use integration::rendered::{Objects, Release, Tools, folders, manifests};

pub(crate) const NAMESPACE: &str = "culvert";

/// The release's name and namespace that give the names of the base.
pub(crate) const RELEASE: Release<'static> = Release {
    name: "tunnel-server",
    namespace: NAMESPACE,
    chart: "server/chart",
};

/// One choice, made by both.
pub(crate) struct Rendering {
    pub(crate) name: String,
    pub(crate) kustomize: Objects,
    pub(crate) chart: Objects,
}

/// All of them.
pub(crate) fn all(tools: &Tools) -> Result<Vec<Rendering>> {
    let server = manifests("server");
    let values = |folder: &str| -> PathBuf { server.join(folder).join("values.yaml") };
    let base = values("base");
    let mut renderings = vec![Rendering {
        name: "base".to_owned(),
        kustomize: tools.base_with(&server, &[])?,
        chart: tools.chart(RELEASE, std::slice::from_ref(&base))?,
    }];
    for name in folders(&server.join("components"))? {
        let own = values(&format!("components/{name}"));
        renderings.push(Rendering {
            kustomize: tools.base_with(&server, &[&name])?,
            chart: tools.chart(RELEASE, &[base.clone(), own])?,
            name,
        });
    }
    for name in folders(&server.join("overlays"))? {
        let folder = format!("overlays/{name}");
        renderings.push(Rendering {
            kustomize: tools.kustomize(&server.join(&folder))?,
            chart: tools.chart(RELEASE, &[values(&folder)])?,
            name,
        });
    }
    Ok(renderings)
}
