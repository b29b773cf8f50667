//! Many handshakes, and such that are not ended.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::server_config::new_token;
use integration::wait::until;
use tunnel_protocol::token::TokenKind;

use crate::connector::{Connector, FROM, ask, ask_with, gone};
use crate::stage::Stage;

/// Links that one cluster may have: one token must not take all connections.
const LINKS: usize = 32;
/// Handshakes of it that may be open.
const HANDSHAKES: usize = 16;

async fn links(stage: &Stage) -> Result<usize> {
    let links = stage.chain.server.metric("tunnel_server_links").await?;
    // A count; `prod` has one of them.
    Ok(format!("{:.0}", links.context("no metric")?).parse::<usize>()? - 1)
}

/// `prod`'s connector comes back all the same.
async fn prod_comes_back(stage: &mut Stage) -> Result<()> {
    stage.chain.restart_client().await?;
    let client = &stage.chain.client;
    until("prod's link", SOON, || async {
        let (status, _) = client.admin_page("/metrics").await?;
        let links = client.metric("tunnel_client_links").await?;
        Ok((status == 200 && links == Some(1.0)).then_some(()))
    })
    .await
}

/// All of them with TLS first, so that the requests come at once.
pub(crate) async fn a_thousand_at_once(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let count = amount(300, 1000);
    let storm = async {
        let connecting = (0..count).map(|_| stage.chain.raw_caller_from(FROM, b"http/1.1"));
        let connected = join_all(connecting).await;
        // The others ended before their TLS: their address has too many already.
        let connected: Vec<_> = connected.into_iter().flatten().collect();
        println!("{} of {count} with TLS", connected.len());
        let asking = connected
            .into_iter()
            .enumerate()
            .map(|(number, connection)| ask(&stage, connection, format!("evil-{number}"), 1));
        Ok(join_all(asking).await)
    };
    let answers = stage.meanwhile(storm).await?;
    let mut held = Vec::new();
    for (connection, status) in answers.into_iter().flatten() {
        match status {
            101 => held.push(connection),
            _ => ensure!(matches!(status, 429 | 503), "refused with {status}"),
        }
    }
    let linked = links(&stage).await?;
    println!("{} links, {linked} registered", held.len());
    ensure!(
        held.len() <= LINKS && linked <= LINKS,
        "{} links",
        held.len()
    );
    stage.others_are_served().await?;
    drop(held);
    gone(&stage).await?;
    stage.end().await
}

pub(crate) async fn new_instances_and_generations(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let again = async {
        // A newer generation of an instance takes the older one's place at once.
        let mut newest = Connector::link_as(&stage, &[], "evil-1", 0).await?;
        for generation in 1..=100 {
            let next = Connector::link_as(&stage, &[], "evil-1", generation).await?;
            std::mem::replace(&mut newest, next).cut().await?;
        }
        let older = Connector::link_as(&stage, &[], "evil-1", 7).await?;
        older.cut().await?;
        // Another instance has a place of its own, as long as there is one.
        let mut held = vec![newest];
        for instance in 2..200 {
            let instance = format!("evil-{instance}");
            match Connector::link_as(&stage, &[], &instance, u64::MAX).await {
                Ok(connector) => held.push(connector),
                // They never answer on their links, so that their handshakes stay open.
                Err(_) => ensure!(held.len() >= HANDSHAKES - 1, "only {} places", held.len()),
            }
        }
        ensure!(held.len() <= LINKS, "{} links", held.len());
        ensure!(links(&stage).await? <= LINKS);
        Ok(held)
    };
    let held = stage.meanwhile(again).await?;
    drop(held);
    gone(&stage).await?;
    stage.end().await
}

/// Beside the good one, which stands first.
pub(crate) async fn several_credentials(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let another = new_token(TokenKind::Connector);
    for other in [another.expose(), stage.evils_token.expose(), "junk"] {
        let connection = stage.chain.raw_caller_from(FROM, b"http/1.1").await?;
        let line = format!("Authorization: Bearer {other}\r\n");
        let asked = ask_with(&stage, connection, "evil-1".to_owned(), 1, &line);
        let (_connection, status) = asked.await?;
        ensure!(status == 400, "answered with {status}");
    }
    ensure!(links(&stage).await? == 0);
    stage.end().await
}

/// TLS, and then a handshake that is never ended.
pub(crate) async fn half_open_handshakes(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    let mut held = Vec::new();
    for _ in 0..100 {
        let Ok(mut connection) = stage.chain.raw_caller_from(FROM, b"http/1.1").await else {
            break;
        };
        drop(
            connection
                .send("GET /tunnel/v1 HTTP/1.1\r\nHost: culvert.test\r\nUpg")
                .await,
        );
        held.push(connection);
    }
    println!("{} half-open handshakes", held.len());
    prod_comes_back(&mut stage).await?;
    stage.chain.links(1).await?;
    drop(held);
    stage.chain.stop().await
}
