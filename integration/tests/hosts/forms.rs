//! The forms of a cluster's URL, with and without a slash at the end; and the
//! server's own paths.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::{BASE_DOMAIN, Chain};
use integration::environment::Environment;
use tokio::process::Command;

use crate::stage::Stage;

pub(crate) async fn own_paths_are_on_own_names_only(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    let cluster = stage.chain.host();
    for path in [
        "/tunnel/v1",
        "/clusters/other/api",
        "/clusters/",
        "/clusters",
    ] {
        let request = stage.head(&format!("GET {path}"), &cluster);
        let seen = stage.seen(&stage.prod, &request).await?;
        ensure!(
            seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{seen}"
        );
    }
    for host in [BASE_DOMAIN, "localhost", "127.0.0.1"] {
        let handshake = stage.refusal(&stage.head("GET /tunnel/v1", host)).await?;
        ensure!(handshake.status == 400, "{host}: {handshake:?}");
        let front = stage.refusal(&stage.head("GET /", host)).await?;
        ensure!(
            front.status == 200 && front.code.is_empty(),
            "{host}: {front:?}"
        );
        for path in ["/api", "/tunnel/v1/", "/tunnel", "/tunnel/v2", "/TUNNEL/v1"] {
            let refusal = stage
                .refusal(&stage.head(&format!("GET {path}"), host))
                .await?;
            ensure!(refusal.status == 404, "{host}{path}: {refusal:?}");
        }
    }
    for (path, seen_as) in [
        ("/clusters/prod", "/"),
        ("/clusters/prod/", "/"),
        ("/clusters/prod?x", "/?x"),
        ("/clusters/prod/?x", "/?x"),
    ] {
        let request = stage.head(&format!("GET {path}"), BASE_DOMAIN);
        let seen = stage.seen(&stage.prod, &request).await?;
        ensure!(
            seen.starts_with(&format!("GET {seen_as} HTTP/1.1\r\n")),
            "{path}: {seen}"
        );
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

/// By kubectl, in front of a real API server.
pub(crate) async fn both_forms_of_every_url(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for url in [chain.url_by_host(), chain.url_by_path()] {
        for url in [url.clone(), format!("{url}/")] {
            let name = kubectl(&environment, &chain, &url).await?;
            ensure!(name == "default", "{url}: {name}");
        }
    }
    chain.stop().await
}

async fn kubectl(environment: &Environment, chain: &Chain, server: &str) -> Result<String> {
    let output = Command::new(environment.kubernetes().await?.kubectl())
        .args([
            "get",
            "namespace",
            "default",
            "-o",
            "jsonpath={.metadata.name}",
        ])
        .env("KUBECONFIG", chain.kubeconfig(server)?)
        .env("HOME", chain.folder())
        .output()
        .await?;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{server}: {err}");
    Ok(String::from_utf8(output.stdout)?)
}
