//! A chain in front of an API server that the test plays, byte by byte.

use anyhow::Result;

use crate::chain::{ApiServer, Chain, ChainOptions};
use crate::environment::Environment;
use crate::raw_http::RawUpstream;

/// The service account's token, as the sidecar holds it.
pub const OWN_TOKEN: &str = "the-service-accounts-own-token-0123456789";

/// Starts a chain with what `options` say beside the API server.
pub async fn start(
    environment: &Environment,
    options: ChainOptions,
) -> Result<(Chain, RawUpstream)> {
    let cluster = RawUpstream::bind().await?;
    let api_server = ApiServer {
        url: format!("http://{}", cluster.address),
        // Not looked at over plain HTTP, but it has to be one.
        ca_pem: environment.api_server().await?.ca_pem,
        token: OWN_TOKEN.into(),
    };
    let options = ChainOptions {
        api_server: Some(api_server),
        ..options
    };
    Ok((environment.chain_with(options).await?, cluster))
}
