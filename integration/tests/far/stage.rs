//! A chain whose tunnel-client is far from its server.

use anyhow::Result;
use integration::answering::Answering;
use integration::chain::{Chain, ChainOptions};
use integration::environment::Environment;
use integration::slow_path::{SlowPath, Way};

pub(crate) struct Stage {
    pub(crate) chain: Chain,
    _path: SlowPath,
    _upstream: Answering,
}

impl Stage {
    pub(crate) async fn set(environment: &Environment, way: Way) -> Result<Self> {
        let upstream = Answering::start().await?;
        let options = ChainOptions {
            upstream: Some(upstream.address),
            ..ChainOptions::bare()
        };
        let mut chain = environment.chain_with(options).await?;
        let path = SlowPath::start(chain.server_address, way).await?;
        let server = format!("https://localhost:{}", path.address.port());
        chain.restart_client_to(&server, &[]).await?;
        chain.linked().await?;
        Ok(Self {
            chain,
            _path: path,
            _upstream: upstream,
        })
    }
}
