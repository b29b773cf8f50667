//! Everything that callers do, through nginx and HAProxy set up as the documents say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use integration::answering::PIECE;
use integration::chain::{Chain, SOON};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::load_balancer::{LoadBalancer, Setup};
use integration::raw_http::tcp;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answered;
use crate::audited::client_of;

/// Where these callers call from.
const CALLER: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 7);

pub(crate) async fn nginx_that_ends_tls(environment: Arc<Environment>) -> Result<()> {
    works(&environment, Setup::NginxHttp).await
}

pub(crate) async fn nginx_that_passes_tcp(environment: Arc<Environment>) -> Result<()> {
    works(&environment, Setup::NginxTcp).await
}

pub(crate) async fn haproxy_that_ends_tls(environment: Arc<Environment>) -> Result<()> {
    works(&environment, Setup::HaproxyHttp).await
}

pub(crate) async fn haproxy_that_passes_tcp(environment: Arc<Environment>) -> Result<()> {
    works(&environment, Setup::HaproxyTcp).await
}

async fn works(environment: &Environment, setup: Setup) -> Result<()> {
    let (mut chain, _upstream) = answered(environment).await?;
    let mut balancer = LoadBalancer::before(&mut chain, setup, None).await?;
    for &version in setup.versions() {
        let caller = caller(&chain, &balancer, version)?;
        whom_it_is_from(&chain, &balancer, &caller, version).await?;
        events_come_at_once(&chain, &balancer, &caller, version).await?;
        let is_best = setup.versions().last() == Some(&version);
        let pieces = match is_best {
            // 64 MiB; 1 GiB.
            true => amount(1024, 16 * 1024),
            false => 128,
        };
        bodies(&chain, &balancer, &caller, pieces).await?;
        cut_by_the_cluster(&chain, &balancer, &caller)
            .await
            .with_context(|| format!("cut by the cluster, {version:?}"))?;
    }
    upgrades(&chain, &balancer).await?;
    by_ipv6(&chain, &balancer).await?;
    balancer.must_run()?;
    cut(&chain, &mut balancer).await?;
    chain.stop().await
}

/// A caller that reaches the cluster through the load balancer.
pub(crate) fn caller(
    chain: &Chain,
    balancer: &LoadBalancer,
    version: HttpVersion,
) -> Result<Client> {
    let mut token = HeaderValue::try_from(format!("Bearer {}", chain.access_token.expose()))?;
    token.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, token);
    let builder = chain
        .http()
        .resolve(&chain.host(), balancer.address)
        .local_address(IpAddr::V4(CALLER))
        .default_headers(headers);
    Ok(match version {
        HttpVersion::Http1 => builder.http1_only(),
        HttpVersion::Http2 => builder,
    }
    .build()?)
}

/// The cluster and the audit log learn where a request comes from, whatever it says.
async fn whom_it_is_from(
    chain: &Chain,
    balancer: &LoadBalancer,
    caller: &Client,
    version: HttpVersion,
) -> Result<()> {
    let path = format!("/head/{version:?}");
    let url = format!("{}{path}", balancer.url(chain));
    let call = caller
        .get(&url)
        .header("x-forwarded-for", "203.0.113.9")
        .header("forwarded", "for=203.0.113.9")
        .header("x-forwarded-host", "other.culvert.test")
        .header("x-forwarded-proto", "http")
        .header("x-real-ip", "203.0.113.9");
    let answer = call.send().await?.error_for_status()?;
    let head = answer.text().await?.to_ascii_lowercase();
    let of_addresses: Vec<_> = head
        .lines()
        .filter(|line| line.contains("forwarded") || line.contains("real-ip"))
        .collect();
    let expected = format!("x-forwarded-for: {CALLER}");
    ensure!(of_addresses == [&expected], "{of_addresses:?}");
    let told = client_of(chain, &path).await?;
    let is_it = match balancer.setup.ends_tls() {
        true => told == CALLER.to_string(),
        false => told.starts_with(&format!("{CALLER}:")),
    };
    ensure!(is_it, "from {told}");
    Ok(())
}

/// Nothing waits for a buffer to be full.
async fn events_come_at_once(
    chain: &Chain,
    balancer: &LoadBalancer,
    caller: &Client,
    version: HttpVersion,
) -> Result<()> {
    let url = format!("{}/api/v1/pods?watch=true", balancer.url(chain));
    let mut watch = version.get(caller, &url).await?;
    let event = timeout(SOON, watch.chunk()).await??;
    ensure!(event.as_deref() == Some(b"first"), "{event:?}");
    Ok(())
}

async fn bodies(
    chain: &Chain,
    balancer: &LoadBalancer,
    caller: &Client,
    pieces: u32,
) -> Result<()> {
    let url = balancer.url(chain);
    let expected = u64::from(pieces) * PIECE as u64;
    let get = caller.get(format!("{url}/pieces/{pieces}"));
    let mut answer = get.send().await?.error_for_status()?;
    let mut come = 0;
    while let Some(chunk) = timeout(SOON, answer.chunk()).await?? {
        come += chunk.len() as u64;
    }
    ensure!(come == expected, "{come} bytes of {expected} came");

    let piece = Bytes::from(vec![7; PIECE]);
    let pieces = (0..pieces).map(move |_| anyhow::Ok(piece.clone()));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let post = caller
        .post(&url)
        .header(CONTENT_LENGTH, expected)
        .body(body);
    let answer = post.send().await?.error_for_status()?.text().await?;
    ensure!(answer == expected.to_string(), "{answer} bytes arrived");
    Ok(())
}

/// What the cluster cuts is an error for the caller, too. Where the cut has overtaken the
/// answer's head, it is a 502 of the load balancer's, or no answer at all.
async fn cut_by_the_cluster(chain: &Chain, balancer: &LoadBalancer, caller: &Client) -> Result<()> {
    let call = caller.get(format!("{}/cut", balancer.url(chain)));
    let Ok(answer) = timeout(SOON, call.send()).await? else {
        return Ok(());
    };
    match answer.status() {
        StatusCode::OK => is_cut(answer, SOON).await,
        StatusCode::BAD_GATEWAY => Ok(()),
        other => bail!("answered with {other}"),
    }
}

const POD: &str = "/api/v1/namespaces/default/pods/a";
const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\
    X-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// As kubectl asks for them, by both of its protocols.
async fn upgrades(chain: &Chain, balancer: &LoadBalancer) -> Result<()> {
    let protocol = |name: &str| format!("{WEBSOCKET}Sec-WebSocket-Protocol: {name}\r\n");
    for (method, path, lines) in [
        ("POST", "exec?command=sh&stdin=true", SPDY.to_owned()),
        ("POST", "portforward?ports=80", SPDY.to_owned()),
        (
            "GET",
            "exec?command=sh&stdin=true",
            protocol("v5.channel.k8s.io"),
        ),
        (
            "GET",
            "portforward?ports=80",
            protocol("SPDY/3.1+portforward.k8s.io"),
        ),
    ] {
        let stream = tcp(CALLER, balancer.address).await?;
        let mut caller = chain.raw_caller_over(stream, b"http/1.1").await?;
        let head = chain.raw_head(false, method, &format!("{POD}/{path}"), &lines);
        caller.send(head).await?;
        let answer = caller.head().await?;
        ensure!(
            answer.starts_with("HTTP/1.1 101 "),
            "{method} {path}: {answer}"
        );
        for said in ["there", "and back"] {
            caller.send(said).await?;
            ensure!(caller.exactly(said.len()).await? == said);
        }
    }
    Ok(())
}

async fn by_ipv6(chain: &Chain, balancer: &LoadBalancer) -> Result<()> {
    let stream = TcpStream::connect(balancer.address_v6).await?;
    let mut caller = chain.raw_caller_over(stream, b"http/1.1").await?;
    caller
        .send(chain.raw_head(false, "GET", "/six", ""))
        .await?;
    let head = caller.head().await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let told = client_of(chain, "/six").await?;
    let is_it = match balancer.setup.ends_tls() {
        true => told == "::1",
        false => told.starts_with("[::1]:"),
    };
    ensure!(is_it, "from {told}");
    Ok(())
}

/// Whoever is in the midst of an answer when the load balancer goes gets an error.
async fn cut(chain: &Chain, balancer: &mut LoadBalancer) -> Result<()> {
    let url = format!("{}/pieces/1000000", balancer.url(chain));
    let mut open = Vec::new();
    for &version in balancer.setup.versions() {
        let caller = caller(chain, balancer, version)?;
        let mut answer = version.get(&caller, &url).await?;
        timeout(SOON, answer.chunk()).await??.context("no body")?;
        open.push((version, answer));
    }
    balancer.kill()?;
    for (version, answer) in open {
        is_cut(answer, SOON)
            .await
            .with_context(|| format!("{version:?}"))?;
    }
    Ok(())
}

/// Reads on to an error; `within` is for each read.
pub(crate) async fn is_cut(mut answer: Response, within: Duration) -> Result<()> {
    loop {
        match timeout(within, answer.chunk()).await? {
            Ok(Some(_)) => {}
            Ok(None) => bail!("a cut body looks complete"),
            Err(_) => return Ok(()),
        }
    }
}
