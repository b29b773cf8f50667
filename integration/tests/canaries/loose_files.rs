//! Files with secrets that others may read.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use anyhow::ensure;
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::service::Service;
use integration::wait::until;

const READ: &str = "anybody on this machine may read this file";
const CHANGE: &str = "anybody on this machine may change this file";

fn allow(path: &Path, mode: u32) -> Result<()> {
    Ok(std::fs::set_permissions(
        path,
        Permissions::from_mode(mode),
    )?)
}

/// How often a service has warned of a file.
fn warned(service: &Service, words: &str, file: &str) -> usize {
    let lines = service.log_lines();
    let warned = lines.iter().filter(|line| {
        line["level"] == "WARN"
            && line["message"]
                .as_str()
                .is_some_and(|said| said.contains(words))
            && line["file"]
                .as_str()
                .is_some_and(|path| path.ends_with(file))
    });
    warned.count()
}

async fn warns(service: &Service, words: &str, file: &str, times: usize) -> Result<()> {
    until(&format!("a warning of {file}"), SOON, || async {
        Ok((warned(service, words, file) == times).then_some(()))
    })
    .await
}

fn options() -> ChainOptions {
    ChainOptions {
        sidecar_arguments: vec!["--secret-file=sidecar-secret".to_owned()],
        client_arguments: vec!["--sidecar-secret-file=sidecar-secret".to_owned()],
        ..ChainOptions::bare()
    }
}

async fn start(environment: &Environment, mode: u32) -> Result<Chain> {
    let (mut chain, _cluster) = played_cluster::start(environment, options()).await?;
    for file in [
        "connector-token",
        "sidecar-secret",
        "sa-token",
        "sidecar.kubeconfig",
        "dev/tls.key",
    ] {
        allow(&chain.folder().join(file), mode)?;
    }
    chain.restart_server().await?;
    chain.restart_client().await?;
    chain.linked().await?;
    Ok(chain)
}

pub(crate) async fn files_that_others_may_read_are_warned_of(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut chain = start(&environment, 0o644).await?;
    warns(&chain.client, READ, "connector-token", 1).await?;
    warns(&chain.client, READ, "sidecar-secret", 1).await?;
    warns(&chain.server, READ, "tls.key", 1).await?;
    // Its files are written over, and keep their modes.
    chain.restart_sidecar().await?;
    if let Some(sidecar) = &chain.sidecar {
        warns(sidecar, READ, "sidecar.kubeconfig", 1).await?;
        // It is read when it is needed first.
        sidecar.admin_page("/readyz").await?;
        warns(sidecar, READ, "sa-token", 1).await?;
    }
    // At a reload, too; and once, however often it is read.
    let config = chain.config_path();
    ensure!(warned(&chain.server, CHANGE, "server.yaml") == 0);
    chain.config.clusters[0]["owner"] = "another".into();
    // Open from the first look at it on.
    let open = chain.folder().join("open.yaml");
    chain.config.write(&open)?;
    allow(&open, 0o666)?;
    std::fs::rename(&open, &config)?;
    warns(&chain.server, CHANGE, "server.yaml", 1).await?;
    chain.config.clusters[0]["owner"] = "a third".into();
    std::fs::write(&config, std::fs::read_to_string(&config)? + "\n# changed\n")?;
    let applied = "tunnel_server_config_reloads_total{outcome=\"applied\"}";
    until("a reload", SOON, || async {
        Ok((chain.server.metric(applied).await? >= Some(2.0)).then_some(()))
    })
    .await?;
    ensure!(warned(&chain.server, CHANGE, "server.yaml") == 1);
    chain.stop().await
}

/// The modes that our manifests ask for: the pod's group reads.
pub(crate) async fn files_of_a_pod_are_not(environment: Arc<Environment>) -> Result<()> {
    let chain = start(&environment, 0o440).await?;
    for service in [&chain.server, &chain.client] {
        let lines = service.log_lines();
        let warnings = lines.iter().filter(|line| {
            line["message"]
                .as_str()
                .is_some_and(|said| said.contains("anybody on this machine"))
        });
        ensure!(warnings.count() == 0, "{}", service.log().display());
    }
    chain.stop().await
}
