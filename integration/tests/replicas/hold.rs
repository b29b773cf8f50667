//! Requests that come while their cluster's link is away for a moment.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::wait::until;
use tokio::time::timeout;

use crate::stage::Stage;

pub(crate) async fn a_request_waits_for_a_link(environment: Arc<Environment>) -> Result<()> {
    // Longer than anything here takes.
    let mut stage = Stage::set(&environment, &["--hold-seconds", "60"]).await?;
    let server = stage.chain.server_address;
    stage.call(server).await?;
    stage.chain.client.kill()?;
    stage.chain.links(0).await?;
    let (called, restarted) = {
        let (host, token) = (
            stage.chain.host(),
            stage.chain.access_token.expose().to_owned(),
        );
        let client = stage.chain.http().build()?;
        let url = format!("https://{host}:{}/version", server.port());
        let call = async move { anyhow::Ok(client.get(url).bearer_auth(token).send().await?) };
        tokio::join!(call, stage.chain.restart_client())
    };
    restarted?;
    ensure!(called?.status() == 200);
    // So does the first one after a start of the server's.
    stage.chain.restart_server().await?;
    stage.call(server).await?;
    stage.stop().await
}

pub(crate) async fn or_is_refused_at_once(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment, &["--hold-seconds", "0"]).await?;
    stage.chain.client.kill()?;
    stage.chain.links(0).await?;
    let answer = stage
        .chain
        .caller()?
        .get(stage.chain.url_by_host())
        .send()
        .await?;
    ensure!(answer.status() == 503, "{}", answer.status());
    ensure!(answer.headers()["culvert-error"] == "no-link");
    ensure!(answer.headers().contains_key("retry-after"));
    // Nor does a server that ends make anybody wait.
    stage
        .chain
        .set_server_arguments(vec!["--hold-seconds=60".into()]);
    stage.chain.restart_server().await?;
    let call = stage.chain.caller()?.get(stage.chain.url_by_host()).send();
    let ends = async {
        until("a request that waits", SOON, || async {
            let open = stage
                .chain
                .server
                .metric("tunnel_server_open_requests")
                .await?;
            Ok((open == Some(1.0)).then_some(()))
        })
        .await?;
        stage.chain.server.terminate()
    };
    // Far earlier than the drain's own deadline.
    let (answer, ended) = tokio::join!(timeout(SOON, call), ends);
    ended?;
    let answer = answer.context("it was held up")??;
    ensure!(answer.status() == 503, "{}", answer.status());
    stage.stop().await
}
