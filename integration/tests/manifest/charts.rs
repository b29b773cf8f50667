//! helm install, upgrade and uninstall against a real API server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use serde_json::Value;

use crate::kubectl::{kubectl, kubectl_json};
use crate::render::{Tools, manifests};

const ROLES: &str = "clusterroles,clusterrolebindings,priorityclasses";

/// A namespace with a connector token, and helm.
struct Releases {
    environment: Arc<Environment>,
    tools: Tools,
    namespace: &'static str,
}

impl Releases {
    async fn new(environment: Arc<Environment>, namespace: &'static str) -> Result<Self> {
        let kubernetes = environment.kubernetes().await?;
        kubernetes.create_namespace(namespace).await?;
        let secret = ["create", "secret", "generic", "connector-token"];
        let token = [
            "--namespace",
            namespace,
            "--from-literal=token=culvert_connector_x",
        ];
        kubectl(&environment, &[secret.as_slice(), &token].concat()).await?;
        let tools = Tools::new(&environment).await?;
        Ok(Self {
            environment,
            tools,
            namespace,
        })
    }

    /// Gives what helm prints.
    async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut helm = self.tools.helm(arguments);
        let kubeconfig = self.environment.kubernetes().await?.admin_kubeconfig();
        helm.arg("--kubeconfig").arg(kubeconfig);
        helm.args(["--namespace", self.namespace]);
        let output = tokio::process::Command::from(helm).output().await?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && complaints.is_empty(),
            "helm {arguments:?}: {complaints}"
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn upgraded(&self, release: &str, settings: &[&str]) -> Result<String> {
        let (chart, values) = (
            manifests("connector/chart"),
            manifests("connector/base/values.yaml"),
        );
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .context("the checkout's path")
        };
        let (chart, values) = (text(&chart)?, text(&values)?);
        let arguments = ["upgrade", "--install", release, &chart, "--values", &values];
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<_> = arguments.into_iter().chain(settings).collect();
        self.helm(&arguments).await
    }

    /// `Kind/name` of what is there of a release, whatever the namespace.
    async fn there(&self, kinds: &str, selector: &str) -> Result<Vec<String>> {
        let arguments = [
            "get",
            kinds,
            "--namespace",
            self.namespace,
            "--selector",
            selector,
        ];
        let list = kubectl_json(&self.environment, &arguments).await?;
        let items = list["items"].as_array().into_iter().flatten();
        let mut names: Vec<_> = items
            .map(|item| {
                format!(
                    "{}/{}",
                    text(&item["kind"]),
                    text(&item["metadata"]["name"])
                )
            })
            .collect();
        names.sort();
        Ok(names)
    }

    /// Of the release itself: helm marks what it made in this namespace.
    async fn roles(&self, release: &str) -> Result<Vec<String>> {
        let selector = "app.kubernetes.io/part-of=culvert,app.kubernetes.io/managed-by=Helm";
        let names = self.there(ROLES, selector).await?;
        let ours = |name: &String| name.contains(&format!("/{release}"));
        Ok(names.into_iter().filter(ours).collect())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) async fn helm_leaves_what_is_the_users(environment: Arc<Environment>) -> Result<()> {
    // Holds the chart's name, so it is the name of what is made.
    const RELEASE: &str = "gitlab-connector-leaves";
    const RELEASES: &str = "helm-leaves";
    const SELECTOR: &str = "app.kubernetes.io/part-of=culvert";
    const KINDS: &str = "deployments,serviceaccounts,poddisruptionbudgets,networkpolicies";
    let releases = Releases::new(environment.clone(), RELEASES).await?;

    let said = releases.upgraded(RELEASE, &[]).await?;
    for words in [
        "kubectl create secret generic connector-token",
        "your url is",
        RELEASES,
    ] {
        ensure!(said.contains(words), "the notes lack {words}: {said}");
    }
    let account = "ServiceAccount/gitlab-connector-leaves";
    let deployment = "Deployment/gitlab-connector-leaves-pod";
    ensure!(releases.there(KINDS, SELECTOR).await? == [deployment, account]);
    let view = "ClusterRoleBinding/gitlab-connector-leaves-view";
    ensure!(releases.roles(RELEASE).await? == [view]);

    // Another role: its binding comes and the first one goes.
    let more = [
        "role=edit",
        "replicas=2",
        "priorityClass.create=true",
        "nativeSidecar=true",
    ];
    releases.upgraded(RELEASE, &more).await?;
    let edit = "ClusterRoleBinding/gitlab-connector-leaves-edit";
    let class = "PriorityClass/gitlab-connector-leaves";
    let roles = releases.roles(RELEASE).await?;
    ensure!(roles == [edit, class], "{roles:?}");
    let budget = "PodDisruptionBudget/gitlab-connector-leaves-pod";
    ensure!(releases.there(KINDS, SELECTOR).await? == [deployment, budget, account]);
    releases.upgraded(RELEASE, &[]).await?;
    ensure!(releases.roles(RELEASE).await? == [view]);

    releases.helm(&["uninstall", RELEASE]).await?;
    ensure!(releases.roles(RELEASE).await?.is_empty());
    let left = releases
        .there(&format!("{KINDS},secrets,configmaps"), "")
        .await?;
    ensure!(left == ["Secret/connector-token"], "{left:?}");
    kubectl(&environment, &["get", "namespace", RELEASES]).await?;
    Ok(())
}

/// Two tunnel-servers for one cluster: no name and no selector is shared.
pub(crate) async fn two_releases_live_side_by_side(environment: Arc<Environment>) -> Result<()> {
    let releases = Releases::new(environment.clone(), "helm-two").await?;
    releases.upgraded("blue", &["replicas=2"]).await?;
    releases.upgraded("green", &["replicas=2"]).await?;
    let arguments = ["get", "deployments", "--namespace", "helm-two"];
    let list = kubectl_json(&environment, &arguments).await?;
    let selector = |index: usize| &list["items"][index]["spec"]["selector"];
    ensure!(
        list["items"]
            .as_array()
            .is_some_and(|items| items.len() == 2)
    );
    ensure!(selector(0) != selector(1), "{}", selector(0));
    releases.helm(&["uninstall", "blue"]).await?;
    let left = releases.roles("green").await?;
    ensure!(
        left == ["ClusterRoleBinding/green-gitlab-connector-view"],
        "{left:?}"
    );
    releases.helm(&["uninstall", "green"]).await?;
    Ok(())
}

/// With the chart's path as it is in the checkout; nothing is installed.
pub(crate) async fn helm_takes_the_documents_command(environment: Arc<Environment>) -> Result<()> {
    let document = std::fs::read_to_string(manifests("README.md"))?;
    let command = document
        .lines()
        .find_map(|line| line.strip_prefix("helm "))
        .context("README.md shows no helm")?;
    let arguments: Vec<_> = command.split(' ').chain(["--dry-run=client"]).collect();
    let tools = Tools::new(&environment).await?;
    let mut helm = tools.helm(&arguments);
    let kubeconfig = environment.kubernetes().await?.admin_kubeconfig();
    let output = helm
        .current_dir(manifests(".."))
        .env("KUBECONFIG", kubeconfig)
        .output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{complaints}");
    let said = String::from_utf8(output.stdout)?;
    ensure!(
        said.contains("value: \"https://clusters.example.com\""),
        "{said}"
    );
    Ok(())
}
