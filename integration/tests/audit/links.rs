//! Links, and who was refused one.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, CLUSTER, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::server_config::new_token;
use integration::wait::until;
use serde_json::{Value, json};
use tunnel_protocol::token::TokenKind;

use crate::lines;

fn of_links(all: &[Value]) -> Vec<Value> {
    let links = all.iter().filter(|line| line["event"] == "link");
    links.cloned().collect()
}

pub(crate) async fn links_have_lines(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let stranger = new_token(TokenKind::Connector);
    environment
        .secrets
        .add("a stranger's token", stranger.expose());
    let mut refused = chain.raw_caller().await?;
    let head = format!(
        "GET /tunnel/v1 HTTP/1.1\r\nHost: {BASE_DOMAIN}\r\nConnection: Upgrade\r\nUpgrade: culvert\r\n\
         Authorization: Bearer {}\r\nCulvert-Protocol: 1\r\nCulvert-Instance: x\r\nCulvert-Generation: 1\r\n\
         Culvert-Client-Version: 1\r\n\r\n",
        stranger.expose()
    );
    refused.send(head).await?;
    refused.rest().await?;

    let mut caller = chain.raw_caller().await?;
    caller.send(chain.raw_head(false, "GET", "/x", "")).await?;
    let (mut connection, _) = cluster.request().await?;
    connection
        .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await?;
    let request = lines::ended(&chain, "/x").await?;
    chain.client.kill()?;
    chain.links(0).await?;
    let links = until("the links' lines", SOON, || async {
        let links = of_links(&lines::of(&chain.server));
        Ok((links.len() == 3).then_some(links))
    })
    .await?;
    let state = |state: &str| {
        let mut found = links.iter().filter(|line| line["state"] == state);
        let (one, another) = (found.next(), found.next());
        ensure!(another.is_none(), "two are {state}");
        one.with_context(|| format!("none is {state}"))
    };
    let accepted = state("accepted")?;
    let named = json!({"cluster": CLUSTER, "linkId": request["linkId"], "linkInstance": request["linkInstance"]});
    ensure!(request["linkId"].is_u64());
    lines::must_hold(accepted, &named)?;
    let ended = state("ended")?;
    lines::must_hold(ended, &named)?;
    ensure!(ended["requestId"] == accepted["requestId"] && ended["durationMs"].is_u64());
    ensure!(ended["reason"].is_string());
    let refused = state("refused")?;
    let nobody = json!({"cluster": null, "linkId": null, "durationMs": null});
    lines::must_hold(refused, &nobody)?;
    ensure!(
        refused["reason"].is_string() && refused["outcome"].is_string(),
        "{refused}"
    );
    chain.stop().await
}
