//! A connector in the cluster: the manifests, with a choice of components, as a
//! user would overlay them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use integration::rendered::manifests;
use integration::server_config::new_token;
use integration::wait::until;
use serde_json::Value;
use tunnel_protocol::token::{Token, TokenKind};

use crate::caller::Caller;
use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::{SOON, Set};
use crate::workload::LABEL;

pub(crate) const DEPLOYMENT: &str = "gitlab-connector-pod";

/// The tunnel-server that a connector links to.
pub(crate) struct Destination {
    pub(crate) url: String,
    pub(crate) ca_file: PathBuf,
}

pub(crate) struct Connector {
    /// The cluster's name, at the server.
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) access_token: Token,
}

impl Connector {
    /// The components with which callers may do everything.
    pub(crate) const MIGHTY: &'static [&'static str] = &["role-cluster-admin", "allow-exec"];

    /// Installs one in a namespace of its own, and waits until it is ready.
    pub(crate) async fn install(set: &Set, name: &str, components: &[&str]) -> Result<Self> {
        let connector = Self::apply(set, name, components).await?;
        connector.ready(set).await?;
        Ok(connector)
    }

    /// Installs one, and does not wait.
    pub(crate) async fn apply(set: &Set, name: &str, components: &[&str]) -> Result<Self> {
        Self::apply_changed(set, name, components, |_| Ok(())).await
    }

    /// As [`Self::apply`], after `change` to the copy of `manifests/connector`.
    pub(crate) async fn apply_changed(
        set: &Set,
        name: &str,
        components: &[&str],
        change: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let (connector, token) = Self::named(set, name);
        set.server.add(name, &token, &connector.access_token)?;
        let server = Destination {
            url: format!("https://{BASE_DOMAIN}:{PORT}"),
            ca_file: set.server.ca_file(),
        };
        connector.write_overlay(set, components, &server, &token)?;
        change(&connector.overlay(set).join("connector"))?;
        connector.apply_overlay(set).await?;
        Ok(connector)
    }

    /// One with new tokens, of which nobody knows yet.
    pub(crate) fn named(set: &Set, name: &str) -> (Self, Token) {
        let (connector_token, access_token) = (
            new_token(TokenKind::Connector),
            new_token(TokenKind::Access),
        );
        set.secrets.add(
            format!("{name}'s connector token"),
            connector_token.expose(),
        );
        set.secrets
            .add(format!("{name}'s access token"), access_token.expose());
        let connector = Self {
            name: name.to_owned(),
            namespace: format!("connector-{name}"),
            access_token,
        };
        (connector, connector_token)
    }

    pub(crate) async fn apply_overlay(&self, set: &Set) -> Result<()> {
        let overlay = self.overlay(set);
        let overlay = overlay.to_str().context("a folder's name")?;
        set.admin(&["apply", "--server-side", "--kustomize", overlay])
            .await
            .map(drop)
    }

    pub(crate) fn overlay(&self, set: &Set) -> PathBuf {
        // kustomize refuses absolute paths and follows relative ones from here.
        set.folder().join(format!("overlay-{}", self.name))
    }

    pub(crate) fn write_overlay(
        &self,
        set: &Set,
        components: &[&str],
        server: &Destination,
        token: &Token,
    ) -> Result<()> {
        let manifests = manifests("connector");
        let overlay = self.overlay(set);
        std::fs::create_dir_all(&overlay)?;
        // As a user's copy: the overlay must not lie outside of its base's tree.
        copy_tree(&manifests, &overlay.join("connector"))?;
        std::fs::copy(&server.ca_file, overlay.join("ca.crt"))?;
        std::fs::write(overlay.join("token"), token.expose())?;
        let components: String = ["private-ca"]
            .iter()
            .chain(components)
            .map(|component| format!("  - connector/components/{component}\n"))
            .collect();
        let (name, namespace, url) = (&self.name, &self.namespace, &server.url);
        let label = LABEL.replace('/', "~1");
        std::fs::write(
            overlay.join("kustomization.yaml"),
            format!(
                "resources:\n  - connector/base\n\
                 components:\n{components}\
                 namespace: {namespace}\n\
                 generatorOptions:\n  disableNameSuffixHash: true\n\
                 secretGenerator:\n  - name: connector-token\n    files: [token]\n\
                 configMapGenerator:\n  - name: tunnel-server-ca\n    files: [ca.crt]\n\
                 patches:\n\
                 - patch: '[{{\"op\": \"add\", \"path\": \"/metadata/labels/{label}\", \"value\": \"\"}}]'\n\
                 \x20 target: {{kind: Namespace}}\n\
                 - patch: |\n\
                 \x20   - op: replace\n\
                 \x20     path: /metadata/name\n\
                 \x20     value: {namespace}-role\n\
                 \x20 target: {{kind: ClusterRoleBinding}}\n\
                 - patch: |\n\
                 \x20   apiVersion: apps/v1\n\
                 \x20   kind: Deployment\n\
                 \x20   metadata: {{name: {DEPLOYMENT}, namespace: gitlab-connector}}\n\
                 \x20   spec:\n\
                 \x20     template:\n\
                 \x20       spec:\n\
                 \x20         containers:\n\
                 \x20         - name: tunnel-client\n\
                 \x20           env:\n\
                 \x20           - {{name: TUNNEL_CLIENT_SERVER, value: '{url}'}}\n\
                 \x20           - {{name: TUNNEL_CLIENT_SUBDOMAIN, value: {name}}}\n\
                 \x20           - {{name: TUNNEL_CLIENT_RECONNECT_SPREAD_MS, value: '0'}}\n",
            ),
        )?;
        Ok(())
    }

    /// Waits until a pod of it is ready.
    pub(crate) async fn ready(&self, set: &Set) -> Result<()> {
        let timeout = format!("--timeout={}s", SOON.as_secs());
        let deployment = format!("deployment/{DEPLOYMENT}");
        set.admin(&[
            "rollout",
            "status",
            &deployment,
            "--namespace",
            &self.namespace,
            &timeout,
        ])
        .await
        .map(drop)
    }

    /// Its pods, as the API server has them, without those that are ending.
    pub(crate) async fn pods(&self, set: &Set) -> Result<Vec<Value>> {
        let text = set
            .admin(&[
                "get",
                "pods",
                "--namespace",
                &self.namespace,
                "--output",
                "json",
            ])
            .await?;
        let list: Value = serde_json::from_str(&text)?;
        Ok(list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .cloned()
            .collect())
    }

    /// The name of its only pod.
    pub(crate) async fn pod(&self, set: &Set) -> Result<String> {
        until("one pod", SOON, || async {
            let pods = self.pods(set).await?;
            let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
            Ok(match pods.as_slice() {
                [pod] => name(pod),
                _ => None,
            })
        })
        .await
    }

    /// All that its containers print.
    pub(crate) async fn log(&self, set: &Set) -> Result<String> {
        let deployment = format!("deployment/{DEPLOYMENT}");
        set.admin(&[
            "logs",
            &deployment,
            "--namespace",
            &self.namespace,
            "--all-containers",
        ])
        .await
    }

    /// Who calls the cluster through it.
    pub(crate) fn caller(&self, set: &Set) -> Result<Caller> {
        Caller::new(set, &self.name, &self.access_token)
    }

    /// Takes it away, after a search of what it printed for secrets.
    pub(crate) async fn remove(self, set: &Set) -> Result<()> {
        let log = self.log(set).await?;
        set.secrets
            .must_not_be_in(&format!("the log of {}", self.name), &log)?;
        self.uninstall(set).await
    }

    pub(crate) async fn uninstall(&self, set: &Set) -> Result<()> {
        let overlay = self.overlay(set);
        let overlay = overlay.to_str().context("a folder's name")?;
        set.admin(&[
            "delete",
            "--kustomize",
            overlay,
            "--wait=false",
            "--ignore-not-found",
        ])
        .await
        .map(drop)
    }
}

pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
