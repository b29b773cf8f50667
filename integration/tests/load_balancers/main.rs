//! Real load balancers before the server: some that only pass upgrades or do not, then
//! nginx and HAProxy as the documents set them up; and what the server believes of what
//! stands before it.

mod audited;
mod documented;
mod forwarded;
mod ipv6;
mod plain_http;
mod proxy_protocol;
mod quiet;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::answering::{ANSWER, Answering, LARGE};
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::nginx::{Nginx, Upgrades};
use integration::wait::until;
use integration::{suite, tests};

use documented::{
    haproxy_that_ends_tls, haproxy_that_passes_tcp, nginx_that_ends_tls, nginx_that_passes_tcp,
};
use forwarded::{
    a_trusted_proxy_is_believed_and_a_stranger_is_not,
    clients_of_a_trusted_proxy_are_limited_each_for_itself,
};
use ipv6::by_ipv6;
use plain_http::{plain_http_beside_tls, plain_http_is_loud_where_anybody_reaches_it};
use proxy_protocol::{a_forbidden_header_is_cut, a_required_header_announces_the_client};
use quiet::quiet_links_stay_and_quiet_answers_are_cut_with_an_error;

fn main() -> ExitCode {
    suite::run(tests![
        one_that_passes_upgrades,
        one_that_passes_websocket_only,
        one_that_passes_neither_is_named,
        nginx_that_ends_tls,
        nginx_that_passes_tcp,
        haproxy_that_ends_tls,
        haproxy_that_passes_tcp,
        quiet_links_stay_and_quiet_answers_are_cut_with_an_error,
        a_required_header_announces_the_client,
        a_forbidden_header_is_cut,
        a_trusted_proxy_is_believed_and_a_stranger_is_not,
        clients_of_a_trusted_proxy_are_limited_each_for_itself,
        by_ipv6,
        plain_http_is_loud_where_anybody_reaches_it,
        plain_http_beside_tls,
        one_that_has_the_server_below_a_path,
        one_that_leads_elsewhere_is_named,
    ])
}

/// A chain whose tunnel-client dials an nginx.
async fn behind_nginx(
    environment: &Environment,
    upgrades: Upgrades,
) -> Result<(Chain, Nginx, Answering)> {
    let (mut chain, upstream) = answered(environment).await?;
    let certificate = chain.folder().join("dev");
    let nginx = Nginx::start(chain.server_address, &certificate, upgrades).await?;
    // The certificate does not know nginx's address.
    let url = format!("https://{}", nginx.address);
    chain
        .restart_client_to(&url, &["--tls-server-name", "localhost"])
        .await?;
    Ok((chain, nginx, upstream))
}

/// A chain in front of an upstream that answers everything.
async fn answered(environment: &Environment) -> Result<(Chain, Answering)> {
    let upstream = Answering::start().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    Ok((environment.chain_with(options).await?, upstream))
}

/// Small and large, there and back.
async fn calls(chain: &Chain) -> Result<()> {
    let client = chain.caller()?;
    let answer = client.get(chain.url_by_host()).send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    ensure!(answer.text().await? == ANSWER);
    let large = client.get(format!("{}/large", chain.url_by_host()));
    let body = large.send().await?.bytes().await?;
    ensure!(body.len() == LARGE, "{} bytes", body.len());
    let upload = client.post(chain.url_by_host()).body(vec![7; LARGE]);
    let answer = upload.send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    ensure!(answer.text().await? == LARGE.to_string());
    Ok(())
}

/// What carries the link, as the server's log tells.
fn carrier(chain: &Chain) -> Option<String> {
    let lines = chain.server.log_lines();
    let linked = lines
        .iter()
        .rev()
        .find(|line| line["message"] == "linked")?;
    Some(linked["carrier"].as_str()?.to_owned())
}

async fn links_by(environment: &Environment, upgrades: Upgrades, expected: &str) -> Result<()> {
    let (chain, mut nginx, _upstream) = behind_nginx(environment, upgrades).await?;
    chain.linked().await?;
    let carrier = carrier(&chain).context("no link in the log")?;
    ensure!(carrier == expected, "by {carrier}");
    calls(&chain).await?;
    nginx.must_run()?;
    chain.stop().await
}

async fn one_that_passes_upgrades(environment: Arc<Environment>) -> Result<()> {
    links_by(&environment, Upgrades::All, "HTTP upgrade").await
}

async fn one_that_passes_websocket_only(environment: Arc<Environment>) -> Result<()> {
    links_by(&environment, Upgrades::WebSocket, "WebSocket").await
}

/// Of the first attempt of the client that runs now.
async fn error(chain: &Chain) -> Result<String> {
    until("an error", SOON, || async {
        let lines = chain.client.log_lines();
        let line = lines.iter().find(|line| line["message"] == "no link");
        Ok(line.and_then(|line| Some(line["error"].as_str()?.to_owned())))
    })
    .await
}

async fn one_that_passes_neither_is_named(environment: Arc<Environment>) -> Result<()> {
    let (chain, _nginx, _upstream) = behind_nginx(&environment, Upgrades::None).await?;
    let error = error(&chain).await?;
    for said in [
        "something on the way has removed the request to upgrade",
        "pass HTTP upgrades or WebSocket",
    ] {
        ensure!(error.contains(said), "{error}");
    }
    chain.stop().await
}

async fn one_that_has_the_server_below_a_path(environment: Arc<Environment>) -> Result<()> {
    for upgrades in [Upgrades::All, Upgrades::WebSocket] {
        let (mut chain, nginx, _upstream) = behind_nginx(&environment, upgrades).await?;
        for path in ["/culvert", "/culvert/", "/moved"] {
            let url = format!("https://{}{path}", nginx.address);
            chain
                .restart_client_to(&url, &["--tls-server-name", "localhost"])
                .await?;
            // Its own, not what is left of the one before.
            until("a link", SOON, || async {
                let links = chain.client.metric("tunnel_client_links").await?;
                Ok((links == Some(1.0)).then_some(()))
            })
            .await?;
            calls(&chain).await?;
        }
        chain.stop().await?;
    }
    Ok(())
}

async fn one_that_leads_elsewhere_is_named(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, nginx, _upstream) = behind_nginx(&environment, Upgrades::All).await?;
    let url = format!("https://{}/away", nginx.address);
    chain
        .restart_client_to(&url, &["--tls-server-name", "localhost"])
        .await?;
    let error = error(&chain).await?;
    let expected = "a redirect to https://sso.example, where no token is sent";
    ensure!(error.contains(expected), "{error}");
    chain.stop().await
}
