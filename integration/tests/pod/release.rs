//! A connector in the cluster by the Helm chart.

use anyhow::{Context, Result};
use integration::rendered::manifests;
use tunnel_protocol::token::Token;

use crate::caller::Caller;
use crate::connector::Connector;
use crate::desk::Desk;
use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::{SOON, Set};
use crate::workload::LABEL;

pub(crate) struct Release {
    /// The cluster's name, at the server.
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Its files are `connector-token` and `ca.crt`.
    pub(crate) desk: Desk,
    access_token: Token,
}

impl Release {
    /// Makes its namespace, and its files for [`Self::desk`].
    pub(crate) async fn new(set: &Set, name: &str) -> Result<Self> {
        let (connector, connector_token) = Connector::named(set, name);
        set.server
            .add(name, &connector_token, &connector.access_token)?;
        let desk = Desk::new(set, name).await?;
        std::fs::write(
            desk.folder.join("connector-token"),
            connector_token.expose(),
        )?;
        std::fs::copy(set.server.ca_file(), desk.folder.join("ca.crt"))?;
        let namespace = format!("helm-{name}");
        set.admin_apply(&format!(
            "apiVersion: v1\n\
             kind: Namespace\n\
             metadata: {{name: {namespace}, labels: {{{LABEL}: ''}}}}\n"
        ))
        .await?;
        Ok(Self {
            name: name.to_owned(),
            namespace,
            desk,
            access_token: connector.access_token,
        })
    }

    /// The release's name, which its objects have as well.
    pub(crate) fn release(&self) -> String {
        format!("{}-gitlab-connector", self.name)
    }

    /// `helm upgrade --install` with these settings; gives what it prints.
    pub(crate) async fn upgrade(&self, settings: &[&str]) -> Result<String> {
        let (release, namespace, name) = (self.release(), &self.namespace, &self.name);
        let chart = manifests("connector/chart");
        let chart = chart.to_str().context("the checkout's path")?;
        let settings: String = settings
            .iter()
            .map(|setting| format!(" --set '{setting}'"))
            .collect();
        self.desk
            .types(&format!(
                "helm upgrade --install {release} '{chart}' --namespace {namespace} \
                 --set server=https://{BASE_DOMAIN}:{PORT} --set clusterName={name} \
                 --set privateCA.existingConfigMap=tunnel-server-ca{settings}"
            ))
            .await
    }

    /// With its Secret and its ConfigMap there before, until it is ready.
    pub(crate) async fn install(&self, settings: &[&str]) -> Result<()> {
        let namespace = &self.namespace;
        for kind in [
            "secret generic connector-token --from-file=token=connector-token",
            "configmap tunnel-server-ca --from-file=ca.crt",
        ] {
            let create = format!("kubectl create --namespace {namespace} {kind}");
            self.desk.types(&create).await?;
        }
        self.upgrade(settings).await?;
        self.ready().await
    }

    /// Waits until the rollout is complete.
    pub(crate) async fn ready(&self) -> Result<()> {
        let (release, namespace, seconds) = (self.release(), &self.namespace, SOON.as_secs());
        self.desk
            .types(&format!(
                "kubectl rollout status deployment/{release}-pod \
                 --namespace {namespace} --timeout={seconds}s"
            ))
            .await
            .map(drop)
    }

    pub(crate) fn caller(&self, set: &Set) -> Result<Caller> {
        Caller::new(set, &self.name, &self.access_token)
    }

    /// `helm uninstall`, after a search of what the pods printed for secrets.
    pub(crate) async fn uninstall(&self, set: &Set) -> Result<()> {
        let (release, namespace) = (self.release(), &self.namespace);
        let log = self
            .desk
            .types(&format!(
                "kubectl logs --namespace {namespace} --all-containers deployment/{release}-pod"
            ))
            .await?;
        set.secrets
            .must_not_be_in(&format!("the log of {release}"), &log)?;
        self.desk
            .types(&format!("helm uninstall {release} --namespace {namespace}"))
            .await
            .map(drop)
    }

    pub(crate) async fn remove(self, set: &Set) -> Result<()> {
        self.uninstall(set).await?;
        set.admin(&["delete", "namespace", &self.namespace, "--wait=false"])
            .await
            .map(drop)
    }
}
