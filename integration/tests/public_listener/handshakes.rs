//! Handshakes of connectors that go no further: their tokens are good, and nothing else.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, Chain, SOON};
use integration::environment::Environment;
use integration::raw_http::Caller;
use integration::server_config::{new_token, no_limits};
use integration::wait::until;
use tunnel_protocol::carrier::UPGRADE_TOKEN;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::limits::HANDSHAKE_PATH;
use tunnel_protocol::token::{Token, TokenKind};

use crate::bystander::Bystander;
use crate::limits::limit;
use crate::unproved_requests::lines_of;

/// As the server has it.
const AT_ONCE: usize = 256;
/// Of a cluster's.
const OF_A_CLUSTER: usize = 16;
const SHED: &str = r#"tunnel_server_handshakes_total{outcome="shed"}"#;
const LIMITED: &str = r#"tunnel_server_handshakes_total{outcome="limited"}"#;

/// Asks for a link; gives the connection and the answer's head.
pub(crate) async fn handshake(
    chain: &Chain,
    token: &Token,
    generation: u64,
) -> Result<(Caller, String)> {
    let hello = Hello {
        instance: format!("pod-{generation}"),
        lane: 0,
        linked: Vec::new(),
        generation,
        client_version: "0".into(),
        subdomain: None,
        check: false,
    };
    let mut headers = http::HeaderMap::new();
    hello.write(&mut headers);
    let mut head = format!(
        "GET {HANDSHAKE_PATH} HTTP/1.1\r\nHost: {BASE_DOMAIN}\r\nConnection: Upgrade\r\n\
         Upgrade: {UPGRADE_TOKEN}\r\nAuthorization: Bearer {}\r\n",
        token.expose()
    );
    for (name, value) in &headers {
        head += &format!("{name}: {}\r\n", value.to_str()?);
    }
    let from = Ipv4Addr::new(127, 0, 0, 3);
    let mut connection = chain.raw_caller_from(from, b"http/1.1").await?;
    connection.send(head + "\r\n").await?;
    let head = connection.head().await?;
    Ok((connection, head))
}

/// More than a server takes on at once are told to come back; callers do not see it.
pub(crate) async fn handshakes_at_once_have_a_bound(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    let mut tokens = Vec::new();
    // Some more, so that it is not a cluster's bound that is reached.
    for number in 0..AT_ONCE / OF_A_CLUSTER * 2 {
        let token = new_token(TokenKind::Connector);
        chain.config.cluster(&format!("c{number}"), &[&token]);
        tokens.push(token);
    }
    crate::limits::change(&mut chain, no_limits()).await?;
    let bystander = Bystander::arrives(&chain).await?;
    let crowd = async {
        let mut held = Vec::new();
        for generation in 1.. {
            let token = &tokens[held.len() % tokens.len()];
            let (connection, head) = handshake(&chain, token, generation).await?;
            if !head.starts_with("HTTP/1.1 101 ") {
                let head = head.to_lowercase();
                ensure!(head.starts_with("http/1.1 429 "), "{head}");
                ensure!(head.contains("culvert-answer: busy"), "{head}");
                ensure!(head.contains("retry-after: 1\r\n"), "{head}");
                break;
            }
            held.push(connection);
        }
        Ok(held)
    };
    let held = bystander.meanwhile(&chain, crowd).await?;
    println!("{} handshakes are under way", held.len());
    // The first ones may have been ended before the last one came, and have made room.
    ensure!(held.len() >= AT_ONCE, "{}", held.len());
    ensure!(chain.server.metric(SHED).await? >= Some(1.0));
    drop(held);
    until("room for another", SOON, || async {
        let (_, head) = handshake(&chain, &tokens[0], u64::MAX).await?;
        Ok(head.starts_with("HTTP/1.1 101 ").then_some(()))
    })
    .await?;
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// Its cluster dials more often than it may; others do not see it.
pub(crate) async fn a_token_in_a_loop_fills_neither_disk_nor_log(
    environment: Arc<Environment>,
) -> Result<()> {
    const A_MINUTE: u32 = 5;
    const DIALS: usize = 100;
    let mut options = environment.options().await?;
    options.server_arguments = ["--audit-log", "audit.log"].map(str::to_owned).to_vec();
    let mut chain = environment.chain_with(options).await?;
    let audit = chain.folder().join("audit.log");
    let [looping, beside] = [(); 2].map(|()| new_token(TokenKind::Connector));
    chain.config.cluster("looping", &[&looping]);
    chain.config.cluster("beside", &[&beside]);
    limit(&mut chain, "perCluster", "handshakesPerMinute", A_MINUTE).await?;
    let bystander = Bystander::arrives(&chain).await?;
    let started = Instant::now();
    let dialling = async {
        let mut heads = Vec::new();
        for generation in 1..=DIALS as u64 {
            let (connection, head) = handshake(&chain, &looping, generation).await?;
            drop(connection);
            heads.push(head.to_lowercase());
        }
        Ok(heads)
    };
    let heads = bystander.meanwhile(&chain, dialling).await?;
    let (taken_on, limited): (Vec<_>, Vec<_>) = heads
        .iter()
        .partition(|head| head.starts_with("http/1.1 101 "));
    let may = 5 + usize::try_from(started.elapsed().as_secs())? / 12 + 1;
    println!("{} of {DIALS} were taken on", taken_on.len());
    ensure!((5..=may).contains(&taken_on.len()), "{heads:?}");
    for head in &limited {
        ensure!(head.starts_with("http/1.1 429 "), "{head}");
        ensure!(head.contains("culvert-answer: busy\r\n"), "{head}");
        ensure!(head.contains("connection: close\r\n"), "{head}");
        let (_, wait) = head.split_once("retry-after: ").context("no wait")?;
        let wait: u32 = wait.split("\r\n").next().unwrap_or_default().parse()?;
        ensure!((1..=12).contains(&wait), "{head}");
    }
    let (_beside, head) = handshake(&chain, &beside, 1).await?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let counted = chain.server.metric(LIMITED).await?;
    ensure!(counted == Some(limited.len() as f64), "{counted:?}");
    bystander.leaves(&chain).await?;
    let logged = chain.server.log_lines();
    let mut messages = logged.iter().map(|line| &line["message"]);
    ensure!(!messages.any(|message| message == "handshake refused"));

    chain.server.terminate()?;
    chain.server.ended(SOON * 3).await?;
    let lines = lines_of(&audit)?;
    let lines = lines.iter().filter(|line| line["cluster"] == "looping");
    let (links, together): (Vec<_>, Vec<_>) = lines.partition(|line| line["event"] == "link");
    let accepted = links.iter().filter(|line| line["state"] == "accepted");
    ensure!(accepted.count() == taken_on.len(), "{links:?}");
    ensure!(links.iter().all(|line| line["state"] != "refused"));
    // The others have a line together, each minute.
    let told = together.iter().filter(|line| line["event"] == "unwritten");
    let told: u64 = told.filter_map(|line| line["requests"].as_u64()).sum();
    ensure!(told == limited.len() as u64, "{together:?}");
    chain.stop().await
}
