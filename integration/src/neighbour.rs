//! A second cluster on a chain's server, which the chain's caller may call, too:
//! for what one cluster might do to another.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;
use tunnel_protocol::token::TokenKind;

use crate::chain::{BASE_DOMAIN, CLUSTER, Chain, SOON, client_arguments};
use crate::environment::Environment;
use crate::server_config::new_token;
use crate::service::Service;
use crate::wait::until;

/// Its name.
pub const NEIGHBOUR: &str = "other";

/// `other.culvert.test`
pub fn host() -> String {
    format!("{NEIGHBOUR}.{BASE_DOMAIN}")
}

/// Registers it and starts its tunnel-client, in front of `upstream`.
pub async fn join(
    environment: &Environment,
    chain: &mut Chain,
    upstream: SocketAddr,
) -> Result<Service> {
    let token = new_token(TokenKind::Connector);
    environment
        .secrets
        .add("the neighbour's token", token.expose());
    let folder = chain.folder().join(NEIGHBOUR);
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("connector-token"), token.expose())?;

    chain.config.cluster(NEIGHBOUR, &[&token]);
    chain.config.callers[0]["clusters"] = json!([CLUSTER, NEIGHBOUR]);
    chain.write_config()?;
    until("a reload", SOON, || async {
        let lines = chain.server.log_lines();
        let taken = |line: &serde_json::Value| {
            line["message"] == "configuration taken over" && line["clusters"] == 2
        };
        Ok(lines.iter().any(taken).then_some(()))
    })
    .await?;

    let mut arguments = client_arguments(chain.server_address, upstream);
    for argument in &mut arguments {
        if argument == "dev/ca.crt" {
            *argument = chain.ca_file().display().to_string();
        }
    }
    let client = Service::start(chain.spawner(), "tunnel-client", &arguments, &folder).await?;
    chain.links(2).await?;
    Ok(client)
}
