//! Programs that do not start, because a secret is not what it should be.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::binaries::culvert;
use integration::chain::SOON;
use integration::environment::Environment;
use integration::service::Service;
use integration::wait::until;
use local_kubernetes::process::{Program, Spawner};
use tunnel_protocol::token::TokenKind;

use crate::planted::Canaries;

pub(crate) async fn refused_starts_show_nothing(_: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let spawner = Spawner::new()?;
    let mut canaries = Canaries::default();
    let damaged = canaries.known("a damaged connector token", TokenKind::Connector.prefix());
    std::fs::write(at("damaged"), &damaged)?;
    std::fs::write(
        at("another"),
        canaries.known("another kind of token", TokenKind::Access.prefix()),
    )?;
    std::fs::write(at("plain"), canaries.plain("what is no token"))?;
    let server = "https://localhost:1".to_owned();
    let mut all = String::new();
    for file in ["damaged", "another", "plain"] {
        let arguments = ["--server", &server, "--token-file", file].map(str::to_owned);
        all += &fails(&spawner, "tunnel-client", &arguments, folder.path()).await?;
    }
    let url = format!(
        "https://user:{}@localhost:1",
        canaries.plain("a password in the server's URL")
    );
    let arguments = ["--server", &url, "--token-file", "damaged"].map(str::to_owned);
    all += &fails(&spawner, "tunnel-client", &arguments, folder.path()).await?;
    // By the environment.
    for (name, value) in [
        ("CULVERT_CONNECTOR_TOKEN", damaged),
        (
            "HTTPS_PROXY",
            format!("ftp://user:{}@proxy", canaries.plain("a proxy's password")),
        ),
    ] {
        let arguments = ["--server", &server].map(str::to_owned);
        let mut process = spawner.spawn_with(
            &Program {
                name: "tunnel-client",
                binary: &culvert("tunnel-client")?,
                arguments: &arguments,
                folder: folder.path(),
            },
            &[(name.to_owned(), value)],
        )?;
        until("its end", SOON, || {
            let status = process.try_wait();
            async move { Ok(status?) }
        })
        .await?;
        all += &std::fs::read_to_string(process.log())?;
    }
    // A kubeconfig that is damaged behind its token; a configuration with one.
    let token = canaries.plain("a kubeconfig's token");
    let kubeconfig = format!("users: [{{name: a, user: {{token: {token}}}}}]\nclusters: [ {token}");
    std::fs::write(at("kubeconfig"), kubeconfig)?;
    let arguments = ["--kubeconfig", "kubeconfig"].map(str::to_owned);
    all += &fails(&spawner, "proxy-sidecar", &arguments, folder.path()).await?;
    let token = canaries.known("a token in the configuration", TokenKind::Access.prefix());
    std::fs::write(at("server.yaml"), format!("{token}: [ {token}"))?;
    let arguments = ["--config", "server.yaml"].map(str::to_owned);
    all += &fails(&spawner, "tunnel-server", &arguments, folder.path()).await?;
    let key = canaries.plain("a TLS key");
    std::fs::write(
        at("key"),
        format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
    )?;
    let config = "baseDomain: a.example\nlisten: 127.0.0.1:0\ncertificate: {certificateFile: key, keyFile: key}\n";
    std::fs::write(at("server.yaml"), config)?;
    all += &fails(&spawner, "tunnel-server", &arguments, folder.path()).await?;
    ensure!(
        all.matches("Error: ").count() >= 9,
        "not all has failed:\n{all}"
    );
    canaries.must_not_be_in("what a failed start printed", &all)
}

async fn fails(
    spawner: &Spawner,
    name: &'static str,
    arguments: &[String],
    folder: &std::path::Path,
) -> Result<String> {
    let (code, said) = Service::run_to_end(spawner, name, arguments, folder).await?;
    ensure!(code == Some(1), "{name} {arguments:?} ended with {code:?}");
    Ok(said)
}
