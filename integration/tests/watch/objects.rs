//! What the tests do to the cluster beside the chain, as its administrator.

use anyhow::{Context, Result};
use local_kubernetes::ControlPlane;
use reqwest::Client;
use serde_json::{Value, json};

/// A namespace of a test's own.
pub(crate) struct Objects<'a> {
    control_plane: &'a ControlPlane,
    client: Client,
    namespace: &'static str,
}

impl<'a> Objects<'a> {
    pub(crate) async fn new(
        control_plane: &'a ControlPlane,
        namespace: &'static str,
    ) -> Result<Self> {
        control_plane.create_namespace(namespace).await?;
        let ca = reqwest::Certificate::from_pem(control_plane.ca_pem().as_bytes())?;
        Ok(Self {
            control_plane,
            client: Client::builder().no_proxy().tls_certs_only([ca]).build()?,
            namespace,
        })
    }

    /// The path of the namespace's config maps.
    pub(crate) fn config_maps(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    /// The path of a watch of the config maps that starts now, and so is silent.
    pub(crate) async fn watch_from_now(&self) -> Result<String> {
        let url = format!("{}{}", self.control_plane.url(), self.config_maps());
        let list: Value = self
            .client
            .get(url)
            .bearer_auth(self.control_plane.admin_token())
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .context("a list without a version")?;
        Ok(format!(
            "{}?watch=true&resourceVersion={version}",
            self.config_maps()
        ))
    }

    /// Creates a config map.
    pub(crate) async fn create(&self, name: &str) -> Result<()> {
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name }, "data": { "a": "b" },
        });
        self.client
            .post(format!(
                "{}{}",
                self.control_plane.url(),
                self.config_maps()
            ))
            .bearer_auth(self.control_plane.admin_token())
            .json(&config_map)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }
}

/// Watches of a resource's objects in one namespace that the API server has open.
pub(crate) async fn open_watches(control_plane: &ControlPlane, resource: &str) -> Result<f64> {
    let metrics = control_plane.metrics().await?;
    let resource = format!("resource=\"{resource}\"");
    // Its own informers watch all namespaces.
    let counted = metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_longrunning_requests{"))
        .filter(|line| line.contains("verb=\"WATCH\"") && line.contains("scope=\"namespace\""))
        .filter(|line| line.contains(&resource))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(counted.sum())
}
