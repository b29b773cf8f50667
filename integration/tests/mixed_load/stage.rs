//! The chain that carries the load.

use anyhow::Result;
use integration::chain::{ApiServer, Chain, ChainOptions};
use integration::environment::Environment;
use integration::played_cluster::OWN_TOKEN;
use integration::server_config::no_limits;

use crate::cluster::Cluster;

pub(crate) struct Stage {
    pub(crate) chain: Chain,
    _cluster: Cluster,
}

impl Stage {
    pub(crate) async fn set(environment: &Environment) -> Result<Self> {
        let cluster = Cluster::start().await?;
        let options = ChainOptions {
            api_server: Some(ApiServer {
                url: format!("http://{}", cluster.address),
                // Not looked at over plain HTTP, but it has to be one.
                ca_pem: environment.api_server().await?.ca_pem,
                token: OWN_TOKEN.into(),
            }),
            sidecar_arguments: vec!["--disable-filter".into()],
            limits: Some(no_limits()),
            ..ChainOptions::bare()
        };
        Ok(Self {
            chain: environment.chain_with(options).await?,
            _cluster: cluster,
        })
    }
}
