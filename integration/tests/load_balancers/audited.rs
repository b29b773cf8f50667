//! Where the audit log says that a request came from.

use anyhow::{Context, Result};
use integration::chain::{Chain, SOON};
use integration::wait::until;

/// Waits for the line of a request that was for that path, which nobody else asks for.
pub(crate) async fn client_of(chain: &Chain, path: &str) -> Result<String> {
    let line = until(&format!("the audit log's line of {path}"), SOON, || async {
        let lines = chain.server.log_lines();
        let mut of_it = lines.into_iter();
        Ok(of_it.find(|line| line["event"] == "request" && line["path"] == path))
    })
    .await?;
    let client = line["clientAddress"].as_str();
    Ok(client.context("no clientAddress")?.to_owned())
}
