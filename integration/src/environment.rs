//! What a suite's tests share: one control plane, started when the first test
//! asks for it, and the secrets of all chains.

use std::sync::Arc;

use anyhow::Result;
use local_kubernetes::{Binaries, ControlPlane, Options, Subject};
use tokio::sync::OnceCell;

use crate::chain::{ApiServer, Chain, ChainOptions};
use crate::secrets::Secrets;

/// Shared by a suite's tests.
#[derive(Default)]
pub struct Environment {
    kubernetes: OnceCell<Shared>,
    pub secrets: Arc<Secrets>,
    options: Options,
}

struct Shared {
    control_plane: ControlPlane,
    /// Of a service account that may do everything.
    token: String,
}

impl Environment {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// The suite's control plane.
    pub async fn kubernetes(&self) -> Result<&ControlPlane> {
        Ok(&self.shared().await?.control_plane)
    }

    /// As the sidecar is to call it: with the token of a service account that may
    /// do everything.
    pub async fn api_server(&self) -> Result<ApiServer> {
        let Shared {
            control_plane,
            token,
        } = self.shared().await?;
        let (url, ca_pem) = (
            control_plane.url().to_owned(),
            control_plane.ca_pem().to_owned(),
        );
        Ok(ApiServer {
            url,
            ca_pem,
            token: token.clone(),
        })
    }

    /// A chain in front of the control plane.
    pub async fn chain(&self) -> Result<Chain> {
        self.chain_with(self.options().await?).await
    }

    /// What [`Self::chain`] starts with.
    pub async fn options(&self) -> Result<ChainOptions> {
        Ok(ChainOptions {
            api_server: Some(self.api_server().await?),
            ..ChainOptions::bare()
        })
    }

    pub async fn chain_with(&self, options: ChainOptions) -> Result<Chain> {
        Chain::start(options, self.secrets.clone()).await
    }

    async fn shared(&self) -> Result<&Shared> {
        self.kubernetes
            .get_or_try_init(|| async {
                let binaries =
                    tokio::task::spawn_blocking(|| Binaries::obtain(&local_kubernetes::to_stderr))
                        .await??;
                let control_plane = ControlPlane::start(&binaries, self.options.clone()).await?;
                control_plane.create_namespace("culvert").await?;
                let token = control_plane
                    .service_account_token("culvert", "connector")
                    .await?;
                let subject = Subject::ServiceAccount {
                    namespace: "culvert",
                    name: "connector",
                };
                control_plane
                    .bind_cluster_role("cluster-admin", subject)
                    .await?;
                self.secrets.add("the service account's token", &token);
                Ok(Shared {
                    control_plane,
                    token,
                })
            })
            .await
    }

    /// Stops the control plane.
    pub async fn stop(self) -> Result<()> {
        match self.kubernetes.into_inner() {
            Some(shared) => shared.control_plane.stop().await,
            None => Ok(()),
        }
    }
}

impl ChainOptions {
    /// Nothing yet.
    pub fn bare() -> Self {
        Self {
            api_server: None,
            upstream: None,
            sidecar_arguments: Vec::new(),
            client_arguments: Vec::new(),
            client_variables: Vec::new(),
            server_arguments: Vec::new(),
            listen: std::net::Ipv4Addr::LOCALHOST,
            limits: None,
        }
    }
}
