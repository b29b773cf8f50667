//! The configuration file and the certificate while the server runs: what is
//! valid takes effect at once, what is not changes nothing, and what is taken
//! away ends what was open on its strength.

mod certificate;
mod connector_tokens;
mod revocations;
mod streams;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use certificate::{a_key_after_its_certificate_is_taken, the_certificate_is_reloaded};
use connector_tokens::{
    a_new_connector_token_is_read_from_its_file,
    an_expired_connector_token_ends_its_link_and_streams,
};
use integration::chain::{CLUSTER, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::raw_http::RawUpstream;
use integration::server_config::new_token;
use integration::wait::until;
use integration::{suite, tests};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use revocations::{
    a_removed_access_token_ends_its_streams, a_removed_cluster_ends_its_link_and_streams,
    a_removed_connector_token_ends_its_link_and_streams, a_removed_permission_ends_its_streams,
    an_answer_that_nobody_reads_ends_too, an_expired_access_token_ends_its_streams,
};
use serde_json::json;
use streams::Watch;
use tunnel_protocol::token::{Token, TokenKind};

/// A revocation acts within a second; five times that on a loaded machine.
const REVOKED: Duration = Duration::from_secs(5);
/// Five looks at the file: as long as something that must not happen is waited
/// for.
const LOOKED: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    suite::run(tests![
        a_valid_change_takes_effect,
        a_bad_file_is_refused_whole,
        a_file_that_is_not_all_there_changes_nothing,
        a_removed_access_token_ends_its_streams,
        a_removed_permission_ends_its_streams,
        a_removed_cluster_ends_its_link_and_streams,
        a_removed_connector_token_ends_its_link_and_streams,
        an_answer_that_nobody_reads_ends_too,
        an_expired_access_token_ends_its_streams,
        an_expired_connector_token_ends_its_link_and_streams,
        a_new_connector_token_is_read_from_its_file,
        the_certificate_is_reloaded,
        a_key_after_its_certificate_is_taken,
    ])
}

/// The caller that keeps what the other loses.
struct Bystander {
    client: Client,
}

async fn start(environment: &Environment) -> Result<(Chain, RawUpstream, Bystander)> {
    let (mut chain, cluster) = played_cluster::start(environment, ChainOptions::bare()).await?;
    let token = new_token(TokenKind::Access);
    environment
        .secrets
        .add("the bystander's token", token.expose());
    chain.config.caller("bystander", &[CLUSTER], &[&token]);
    chain.write_config()?;
    let client = client_with(&chain, &token)?;
    answers(&client, &chain, &cluster).await?;
    Ok((chain, cluster, Bystander { client }))
}

fn client_with(chain: &Chain, token: &Token) -> Result<Client> {
    Ok(chain
        .http()
        .default_headers(authorization(token)?)
        .build()?)
}

fn http1_caller(chain: &Chain) -> Result<Client> {
    let headers = authorization(&chain.access_token)?;
    Ok(chain.http().http1_only().default_headers(headers).build()?)
}

fn authorization(token: &Token) -> Result<HeaderMap> {
    let value = format!("Bearer {}", token.expose()).try_into()?;
    Ok([(AUTHORIZATION, value)].into_iter().collect())
}

/// Waits until a client's calls reach the cluster.
async fn answers(client: &Client, chain: &Chain, cluster: &RawUpstream) -> Result<()> {
    let serving = async {
        loop {
            let (mut connection, _) = cluster.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
        }
    };
    let calling = until("an answer", SOON, || async {
        let response = client.get(chain.url_by_host()).send().await?;
        Ok((response.status() == 200).then_some(()))
    });
    tokio::select! {
        failed = serving => failed,
        answered = calling => answered,
    }
}

/// The status of a call that does not reach the cluster.
async fn refused_with(client: &Client, chain: &Chain) -> Result<u16> {
    let response = client.get(chain.url_by_host()).send().await?;
    Ok(response.status().as_u16())
}

async fn a_valid_change_takes_effect(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster, _) = start(&environment).await?;
    let token = new_token(TokenKind::Access);
    environment
        .secrets
        .add("a new caller's token", token.expose());
    let client = client_with(&chain, &token)?;
    ensure!(refused_with(&client, &chain).await? == 401);
    chain.config.caller("newcomer", &[CLUSTER], &[&token]);
    chain.write_config()?;
    let changed = Instant::now();
    answers(&client, &chain, &cluster).await?;
    let took = changed.elapsed();
    println!("a new caller was let in after {took:?}");
    ensure!(took < REVOKED, "{took:?}");
    chain.stop().await
}

/// How many files the server has taken over or refused.
async fn reloads(chain: &Chain, outcome: &str) -> Result<f64> {
    let name = format!("tunnel_server_config_reloads_total{{outcome=\"{outcome}\"}}");
    Ok(chain.server.metric(&name).await?.unwrap_or_default())
}

async fn refused_once(chain: &Chain) -> Result<()> {
    until("a refused file", SOON, || async {
        Ok((reloads(chain, "refused").await? == 1.0).then_some(()))
    })
    .await
}

async fn a_bad_file_is_refused_whole(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut watch = Watch::open(&chain.caller()?, &chain, &cluster).await?;
    let good = chain.config.clone();
    let newcomer = new_token(TokenKind::Access);
    environment
        .secrets
        .add("a token that was not taken", newcomer.expose());
    // One thing that would be fine, and five faults; one of them is a token
    // where its hash belongs, which no log may show.
    chain.config.caller("newcomer", &[CLUSTER], &[&newcomer]);
    chain.config.clusters[0]["colour"] = "blue".into();
    chain.config.clusters.push(json!({ "name": "Not A Name" }));
    chain.config.callers[0]["clusters"] = json!(["nowhere"]);
    chain.config.callers[1]["accessTokens"] = json!([{ "hash": newcomer.expose() }]);
    chain.config.callers.push(json!({ "clusters": [CLUSTER] }));
    chain.write_config()?;
    refused_once(&chain).await?;
    let lines = chain.server.log_lines();
    let message = lines
        .iter()
        .filter_map(|line| line["message"].as_str())
        .find(|message| message.contains("configuration refused"))
        .context("the refusal is not in the log")?;
    for fault in [
        "clusters[0].colour: unknown key",
        "clusters[1].name: ",
        "callers[0].clusters[0]: there is no cluster nowhere",
        "callers[1].accessTokens[0].hash: not a token hash",
        "callers[3].name: missing",
    ] {
        ensure!(message.contains(fault), "{fault} is not in: {message}");
    }
    watch.must_be_alive().await?;
    answers(&chain.caller()?, &chain, &cluster).await?;
    answers(&bystander.client, &chain, &cluster).await?;
    ensure!(refused_with(&client_with(&chain, &newcomer)?, &chain).await? == 401);
    // And it can be mended.
    chain.config = good;
    chain.config.caller("newcomer", &[CLUSTER], &[&newcomer]);
    chain.write_config()?;
    answers(&client_with(&chain, &newcomer)?, &chain, &cluster).await?;
    watch.must_be_alive().await?;
    chain.stop().await
}

async fn a_file_that_is_not_all_there_changes_nothing(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster, bystander) = start(&environment).await?;
    let mut watch = Watch::open(&chain.caller()?, &chain, &cluster).await?;
    let path = chain.config_path();
    let whole = std::fs::read_to_string(&path)?;
    let applied = reloads(&chain, "applied").await?;

    std::fs::write(&path, "")?;
    nothing_changes(&chain, &cluster, &mut watch, applied).await?;
    std::fs::remove_file(&path)?;
    nothing_changes(&chain, &cluster, &mut watch, applied).await?;
    std::fs::write(&path, &whole[..whole.len() / 2])?;
    refused_once(&chain).await?;
    nothing_changes(&chain, &cluster, &mut watch, applied).await?;
    std::fs::write(&path, &whole)?;
    nothing_changes_but(&chain, &cluster, &mut watch).await?;
    answers(&bystander.client, &chain, &cluster).await?;
    chain.stop().await
}

/// Calls and looks for as long as the server needs to look at the file several
/// times.
async fn nothing_changes(
    chain: &Chain,
    cluster: &RawUpstream,
    watch: &mut Watch,
    applied: f64,
) -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < LOOKED {
        nothing_changes_but(chain, cluster, watch).await?;
        ensure!(reloads(chain, "applied").await? == applied, "it was taken");
    }
    Ok(())
}

async fn nothing_changes_but(
    chain: &Chain,
    cluster: &RawUpstream,
    watch: &mut Watch,
) -> Result<()> {
    answers(&chain.caller()?, chain, cluster).await?;
    watch.must_be_alive().await
}
