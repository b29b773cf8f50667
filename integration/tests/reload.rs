//! The configuration file and the certificate while the server runs: what is
//! valid takes effect at once, what is not changes nothing, and what is taken
//! away ends what was open on its strength.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use integration::chain::{CALLER, CLUSTER, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::raw_http::{Accepted, Caller, RawUpstream};
use integration::server_config::{ServerConfig, new_token};
use integration::wait::until;
use integration::{suite, tests};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;
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
        an_expired_access_token_ends_its_streams,
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

/// An open watch: both of its ends.
struct Watch {
    caller: Response,
    cluster: Accepted,
}

impl Watch {
    async fn open(client: &Client, chain: &Chain, cluster: &RawUpstream) -> Result<Self> {
        let url = format!("{}/api/v1/pods?watch=true", chain.url_by_host());
        let call = async { anyhow::Ok(client.get(url).send().await?) };
        let answer = async {
            let (mut connection, _) = cluster.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            anyhow::Ok(connection)
        };
        let (caller, cluster) = tokio::try_join!(call, answer)?;
        let mut watch = Self { caller, cluster };
        watch.must_be_alive().await?;
        Ok(watch)
    }

    async fn must_be_alive(&mut self) -> Result<()> {
        self.cluster.send("5\r\nevent\r\n").await?;
        let chunk = timeout(SOON, self.caller.chunk()).await??;
        ensure!(chunk.as_deref() == Some(b"event"), "the watch has ended");
        Ok(())
    }

    /// Waits for its end on both sides; the caller must see that it was cut.
    async fn cut(mut self) -> Result<()> {
        match timeout(SOON, self.caller.chunk()).await? {
            Ok(Some(_)) => bail!("an event from nowhere"),
            Ok(None) => bail!("a watch that was cut looks whole"),
            Err(_) => {}
        }
        self.cluster.rest().await.map(drop)
    }
}

/// An upgraded connection: both of its ends.
struct Upgraded {
    caller: Caller,
    cluster: Accepted,
}

impl Upgraded {
    async fn open(chain: &Chain, cluster: &RawUpstream) -> Result<Self> {
        let mut caller = chain.raw_caller().await?;
        let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        caller
            .send(chain.raw_head(false, "GET", "/api/v1/pods?watch=true", lines))
            .await?;
        let (mut connection, _) = cluster.request().await?;
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await?;
        ensure!(caller.head().await?.starts_with("HTTP/1.1 101"));
        connection.send("hello").await?;
        ensure!(caller.exactly(5).await? == "hello");
        Ok(Self {
            caller,
            cluster: connection,
        })
    }

    async fn ended(mut self) -> Result<()> {
        self.caller.rest().await?;
        self.cluster.rest().await.map(drop)
    }
}

/// Opens a watch over each version of HTTP and an upgraded connection, changes
/// the file, and waits for their end.
async fn change_ends_streams(
    chain: &mut Chain,
    cluster: &RawUpstream,
    what: &str,
    change: impl FnOnce(&mut ServerConfig),
) -> Result<()> {
    let over_http2 = Watch::open(&chain.caller()?, chain, cluster).await?;
    let over_http1 = Watch::open(&http1_caller(chain)?, chain, cluster).await?;
    let upgraded = Upgraded::open(chain, cluster).await?;
    change(&mut chain.config);
    chain.write_config()?;
    let changed = Instant::now();
    tokio::try_join!(over_http2.cut(), over_http1.cut(), upgraded.ended())?;
    let took = changed.elapsed();
    println!("{what}: its streams ended after {took:?}");
    ensure!(took < REVOKED, "{what}: the streams lived on for {took:?}");
    Ok(())
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

async fn a_removed_access_token_ends_its_streams(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut other = Watch::open(&bystander.client, &chain, &cluster).await?;
    change_ends_streams(&mut chain, &cluster, "a removed access token", |config| {
        config.callers[0]["accessTokens"] = json!([]);
    })
    .await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 401);
    other.must_be_alive().await?;
    chain.stop().await
}

async fn a_removed_permission_ends_its_streams(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut other = Watch::open(&bystander.client, &chain, &cluster).await?;
    change_ends_streams(&mut chain, &cluster, "a removed permission", |config| {
        config.callers[0]["clusters"] = json!([]);
    })
    .await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 403);
    other.must_be_alive().await?;
    chain.stop().await
}

async fn a_removed_cluster_ends_its_link_and_streams(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster, _) = start(&environment).await?;
    change_ends_streams(&mut chain, &cluster, "a removed cluster", |config| {
        config.clusters.clear();
        for caller in &mut config.callers {
            caller["clusters"] = json!([]);
        }
    })
    .await?;
    chain.links(0).await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 404);
    chain.stop().await
}

async fn a_removed_connector_token_ends_its_link_and_streams(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, _) = start(&environment).await?;
    change_ends_streams(
        &mut chain,
        &cluster,
        "a removed connector token",
        |config| {
            config.clusters[0]["connectorTokens"] = json!([]);
        },
    )
    .await?;
    chain.links(0).await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 503);
    let code = chain.client.ended(SOON).await?;
    ensure!(
        code.is_some_and(|code| code != 0),
        "tunnel-client ended with {code:?}"
    );
    chain.stop().await
}

async fn an_expired_access_token_ends_its_streams(environment: Arc<Environment>) -> Result<()> {
    /// Long enough to open the streams.
    const LIFE: time::Duration = time::Duration::seconds(4);
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut other = Watch::open(&bystander.client, &chain, &cluster).await?;
    let caller = chain.caller()?;
    let expires = OffsetDateTime::now_utc() + LIFE;
    chain.config.callers[0]["accessTokens"][0]["expires"] =
        Value::String(expires.format(&Rfc3339)?);
    chain.write_config()?;
    let watch = Watch::open(&caller, &chain, &cluster).await?;
    let upgraded = Upgraded::open(&chain, &cluster).await?;
    tokio::try_join!(watch.cut(), upgraded.ended())?;
    let late = OffsetDateTime::now_utc() - expires;
    println!("the streams of an expired token ended {late} after its expiry");
    ensure!(!late.is_negative(), "ended {late} too early");
    ensure!(late < REVOKED, "ended {late} after the expiry");
    ensure!(refused_with(&caller, &chain).await? == 401);
    other.must_be_alive().await?;
    ensure!(chain.config.callers[0]["name"] == CALLER);
    chain.stop().await
}

/// Another CA's certificate for the chain's names: CA, certificate, key.
fn another_certificate(chain: &Chain) -> Result<(String, String, String)> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![chain.host(), "localhost".into()])?;
    let leaf = leaf.signed_by(&key, &ca)?;
    Ok((ca.pem(), leaf.pem(), key.serialize_pem()))
}

fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(beside, path)?)
}

/// Waits until new connections get the certificate that `ca` signed.
async fn serves(chain: &Chain, ca: &str) -> Result<()> {
    let client = Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes())?])
        .resolve(&chain.host(), chain.server_address)
        .build()?;
    until("the new certificate", SOON, || async {
        let response = client.get(chain.url_by_host()).send().await;
        Ok(response.is_ok().then_some(()))
    })
    .await
}

async fn the_certificate_is_reloaded(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster, _) = start(&environment).await?;
    let mut watch = Watch::open(&chain.caller()?, &chain, &cluster).await?;
    let (ca, certificate, key) = another_certificate(&chain)?;
    let changed = Instant::now();
    replace(&chain.folder().join("dev/tls.key"), &key)?;
    replace(&chain.folder().join("dev/tls.crt"), &certificate)?;
    serves(&chain, &ca).await?;
    println!(
        "the new certificate was served after {:?}",
        changed.elapsed()
    );
    watch.must_be_alive().await?;
    // A damaged one changes nothing.
    replace(&chain.folder().join("dev/tls.crt"), "not PEM")?;
    chain
        .server
        .says("certificate refused, the last good one stays")
        .await?;
    serves(&chain, &ca).await?;
    watch.must_be_alive().await?;
    chain.stop().await
}

async fn a_key_after_its_certificate_is_taken(environment: Arc<Environment>) -> Result<()> {
    let (chain, _cluster, _) = start(&environment).await?;
    let (ca, certificate, key) = another_certificate(&chain)?;
    replace(&chain.folder().join("dev/tls.crt"), &certificate)?;
    chain
        .server
        .says("certificate refused, the last good one stays")
        .await?;
    replace(&chain.folder().join("dev/tls.key"), &key)?;
    serves(&chain, &ca).await?;
    chain.stop().await
}
