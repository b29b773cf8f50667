//! The one file, the Kustomize base with its components, and the chart say the
//! same.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;

use crate::objects::{Objects, differences};
use crate::render::{Tools, folders, manifests};

const ONE_FILE: &str = "gitlab-connector-pod.yaml";

const HEADER: &str = "\
# Connects this cluster to a tunnel-server. Nothing is opened in a firewall: the
# pod calls out.
#
# Before: change the lines below the two marks CHANGE. After: create the Secret with
# the connector token, as the README says; until then the pod waits for it.
#
# These are the files of connector/base, joined by a test; README.md beside this
# file has other roles, several pods, HTTP proxies and more, and a Helm chart.
";

pub(crate) async fn the_one_file_is_the_base_joined(_: Arc<Environment>) -> Result<()> {
    let made = HEADER.to_owned() + &joined()?;
    let path = manifests(ONE_FILE);
    if std::env::var_os("CULVERT_WRITE_DOCS").is_some() {
        std::fs::write(&path, made)?;
        return Ok(());
    }
    ensure!(
        std::fs::read_to_string(&path)? == made,
        "{ONE_FILE} is not the base's files joined: run CULVERT_WRITE_DOCS=1 cargo test -p integration --test manifest"
    );
    Ok(())
}

/// The base's files in the order that its kustomization names them.
fn joined() -> Result<String> {
    let base = manifests("connector/base");
    let kustomization = std::fs::read_to_string(base.join("kustomization.yaml"))?;
    let (_, resources) = kustomization
        .split_once("\nresources:\n")
        .context("no resources")?;
    let mut text = String::new();
    for line in resources.lines() {
        let name = line.strip_prefix("  - ").context("more than resources")?;
        text += "---\n";
        text += &std::fs::read_to_string(base.join(name))?;
    }
    Ok(text)
}

/// The values that go with a folder below `manifests/connector`.
fn values(folder: &str) -> PathBuf {
    manifests("connector").join(folder).join("values.yaml")
}

/// A namespace is the one thing that the chart leaves to its user: helm keeps
/// the release in it, and would delete it with all that is in it.
fn without_namespace(mut objects: Objects) -> Result<Objects> {
    objects
        .remove("Namespace /gitlab-connector")
        .context("no Namespace")?;
    Ok(objects)
}

fn agree(what: &str, kustomize: Objects, chart: &Objects) -> Result<()> {
    let found = differences(&without_namespace(kustomize)?, chart);
    ensure!(
        found.is_empty(),
        "{what}: kustomize | chart differ:\n{}",
        found.join("\n")
    );
    Ok(())
}

pub(crate) async fn the_chart_makes_what_kustomize_makes(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let base = values("base");
    agree(
        "base",
        tools.base_with(&[])?,
        &tools.chart(std::slice::from_ref(&base))?,
    )?;
    for name in folders("components")? {
        let chart = tools.chart(&[base.clone(), values(&format!("components/{name}"))])?;
        agree(&name, tools.base_with(&[&name])?, &chart)?;
    }
    for name in folders("overlays")? {
        let folder = format!("overlays/{name}");
        let kustomize = tools.kustomize(&manifests("connector").join(&folder))?;
        agree(&name, kustomize, &tools.chart(&[values(&folder)])?)?;
    }
    let together = [
        "namespaced",
        "client-certificate",
        "private-ca",
        "https-proxy",
        "allow-exec",
        "high-availability",
        "native-sidecar",
    ];
    let files = together.map(|name| values(&format!("components/{name}")));
    let chart = tools.chart(&[[base].as_slice(), &files].concat())?;
    agree("together", tools.base_with(&together)?, &chart)
}

/// The comparison sees one changed number, one missing object, one more entry.
pub(crate) async fn a_difference_is_found(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let base = tools.base_with(&[])?;
    let deployment = "Deployment gitlab-connector/gitlab-connector-pod";
    let changed = |change: fn(&mut serde_json::Value)| -> Result<Vec<String>> {
        let mut other = base.clone();
        change(other.get_mut(deployment).context("no Deployment")?);
        Ok(differences(&base, &other))
    };
    ensure!(differences(&base, &base.clone()).is_empty());
    for (change, path) in [
        (
            (|it| it["spec"]["template"]["spec"]["containers"][1]["args"][0] = "".into())
                as fn(&mut serde_json::Value),
            ".spec.template.spec.containers[1].args[0]",
        ),
        (|it| it["spec"]["replicas"] = 2.into(), ".spec.replicas"),
        (
            |it| {
                it["spec"]["template"]["spec"]["volumes"][0]["projected"]["defaultMode"] =
                    440.into()
            },
            ".spec.template.spec.volumes[0].projected.defaultMode",
        ),
        (
            |it| it["metadata"]["labels"]["helm.sh/chart"] = "x".into(),
            ".metadata.labels.helm.sh/chart",
        ),
    ] {
        let found = changed(change)?;
        let [line] = found.as_slice() else {
            anyhow::bail!("{path}: {found:?}");
        };
        ensure!(
            line.starts_with(&format!(".{deployment}{path}: ")),
            "{line}"
        );
    }
    let edit = tools.base_with(&["role-edit"])?;
    let found = differences(&base, &edit);
    ensure!(found.len() == 2, "one binding goes, one comes: {found:?}");
    Ok(())
}

/// Two roles would add up to the mightier one.
pub(crate) async fn one_role_at_a_time(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let roles = [
        "namespaced",
        "role-cluster-admin",
        "role-edit",
        "role-impersonate",
    ];
    for (index, one) in roles.iter().enumerate() {
        for other in &roles[index + 1..] {
            let both = tools.base_with(&[one, other]);
            let said = both
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            ensure!(
                said.contains("no matches for Id"),
                "{one} and {other}: {said:?}"
            );
        }
    }
    Ok(())
}

pub(crate) async fn the_versions_are_the_workspaces(_: Arc<Environment>) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart = std::fs::read_to_string(manifests("connector/chart/Chart.yaml"))?;
    for key in ["version", "appVersion"] {
        let line = format!("\n{key}: {version}\n");
        ensure!(chart.contains(&line), "Chart.yaml: {key} is not {version}");
    }
    let deployment = std::fs::read_to_string(manifests("connector/base/deployment.yaml"))?;
    for name in ["proxy-sidecar", "tunnel-client"] {
        let line = format!(" image: culvert/{name}:{version}\n");
        ensure!(deployment.contains(&line), "the base's image of {name}");
    }
    Ok(())
}
