//! Lists a cluster's namespaces with kube-client.
//!
//! `CULVERT_URL=https://prod.clusters.example.com CULVERT_TOKEN_FILE=token
//! cargo run -p examples --bin example-kube-client`

use anyhow::Result;
use examples::Settings;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, Config, ResourceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let mut config = Config::new(settings.url.parse()?);
    config.auth_info.token = Some(settings.token.into());
    config.root_cert_file = settings.ca_file;
    // Unlike the others, kube-client takes a proxy only from its configuration.
    if let Ok(proxy) = std::env::var("HTTPS_PROXY") {
        config.proxy_url = Some(proxy.parse()?);
    }

    let namespaces: Api<Namespace> = Api::all(Client::try_from(config)?);
    for namespace in namespaces.list(&ListParams::default()).await? {
        println!("{}", namespace.name_any());
    }
    Ok(())
}
