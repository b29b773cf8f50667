//! Lists a cluster's namespaces with plain HTTP, and tells an error of the
//! tunnel from one of the cluster.
//!
//! `CULVERT_URL=https://prod.clusters.example.com CULVERT_TOKEN_FILE=token
//! cargo run -p examples --bin example-reqwest`

use anyhow::{Result, bail};
use examples::Settings;
use reqwest::{Certificate, Client, Response};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let mut client = Client::builder();
    if let Some(ca_file) = &settings.ca_file {
        client = client.tls_certs_only(Certificate::from_pem_bundle(&std::fs::read(ca_file)?)?);
    }
    let url = format!("{}/api/v1/namespaces", settings.url.trim_end_matches('/'));
    let response = client
        .build()?
        .get(url)
        .bearer_auth(settings.token)
        .send()
        .await?;
    let list: Value = checked(response).await?.json().await?;
    for namespace in list["items"].as_array().into_iter().flatten() {
        println!("{}", namespace["metadata"]["name"].as_str().unwrap_or("?"));
    }
    Ok(())
}

/// The response if it is a success. Only the tunnel can set `Culvert-Error`.
async fn checked(response: Response) -> Result<Response> {
    let code = response.status();
    if code.is_success() {
        return Ok(response);
    }
    let culvert_error = response.headers().get("culvert-error").cloned();
    let status: Value = response.json().await.unwrap_or_default();
    let message = status["message"].as_str().unwrap_or("no message");
    match culvert_error {
        Some(error) => bail!("{code} from the tunnel ({error:?}): {message}"),
        None => bail!("{code} from the cluster: {message}"),
    }
}
