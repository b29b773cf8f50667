//! Connections on which nobody proves anything: they end, and while they are there
//! they keep nobody out.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt};
use integration::chain::{BASE_DOMAIN, Chain, SOON};
use integration::environment::Environment;
use integration::http2_frames::setting;
use integration::server_config::{new_token, no_limits};
use integration::wait::until;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tunnel_protocol::token::TokenKind;

use crate::bystander::{Bystander, PATH, caller_from};
use crate::h2_stranger::{Ask, Seen, Stranger};

/// Places of the server for public connections.
const PLACES: u16 = 40;
/// Strangers, from some addresses.
const CROWD: u8 = 60;
const ADDRESSES: u8 = 5;
const UNPROVED: &str = "tunnel_server_unproved_connections";
const CROWDED_OUT: &str = r#"tunnel_server_unproved_connections_ended_total{reason="crowded-out"}"#;
const LATE: &str = r#"tunnel_server_unproved_connections_ended_total{reason="late"}"#;

async fn chain_with(environment: &Environment, arguments: &[&str]) -> Result<Chain> {
    let mut options = environment.options().await?;
    options.server_arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
    environment.chain_with(options).await
}

async fn told(chain: &Chain, metric: &str) -> Result<f64> {
    let told = chain.server.metric(metric).await?;
    told.with_context(|| format!("no {metric}"))
}

/// Asks for the front page, which anybody may see, and stays.
async fn settles(chain: &Chain, number: u8, seats: &mut JoinSet<Seen>) -> Result<()> {
    let from = Ipv4Addr::new(127, 0, 1, 1 + number % ADDRESSES);
    let mut stranger = Stranger::comes(chain, from, &[]).await?;
    stranger.asks(&Ask::of(BASE_DOMAIN, "/"), 1).await;
    stranger.gets(1).await?;
    seats.spawn(stranger.stays());
    Ok(())
}

/// More of them than there are places, while others come to prove something.
async fn a_crowd_that_stays(environment: Arc<Environment>, proved: u8) -> Result<()> {
    let places = PLACES.to_string();
    // Not the timer is what makes room.
    let arguments = ["--connections", places.as_str(), "--prove-seconds", "3600"];
    let mut chain = chain_with(&environment, &arguments).await?;
    let bystander = Bystander::arrives(&chain).await?;
    let url = format!("{}{PATH}", chain.url_by_host());
    let mut callers = Vec::new();
    for number in 0..proved {
        let caller = caller_from(&chain, Ipv4Addr::new(127, 0, 2, 1 + number))?;
        caller.get(&url).send().await?.error_for_status()?;
        callers.push(caller);
    }
    let mut seats = JoinSet::new();
    let crowd = async {
        for number in 0..CROWD {
            settles(&chain, number, &mut seats).await?;
        }
        Ok(())
    };
    bystander.meanwhile(&chain, crowd).await?;
    let unproved = told(&chain, UNPROVED).await?;
    println!("{unproved} of {CROWD} strangers are left beside {proved} callers");
    ensure!(unproved > 0.0 && unproved <= f64::from(PLACES / 2));
    ensure!(told(&chain, CROWDED_OUT).await? >= f64::from(CROWD) - unproved);
    // A new connector finds its place, too.
    chain.restart_client().await?;
    let client = &chain.client;
    until("the new connector's link", SOON, || async {
        let links = client.metric("tunnel_client_links").await?;
        Ok((links == Some(1.0)).then_some(()))
    })
    .await?;
    // Nobody who had proved something had to go.
    for caller in &callers {
        caller.get(&url).send().await?.error_for_status()?;
    }
    bystander.leaves(&chain).await?;
    chain.stop().await
}

pub(crate) async fn strangers_who_stay_have_half_of_the_places(
    environment: Arc<Environment>,
) -> Result<()> {
    a_crowd_that_stays(environment, 0).await
}

pub(crate) async fn strangers_who_stay_leave_the_last_place_free(
    environment: Arc<Environment>,
) -> Result<()> {
    a_crowd_that_stays(environment, 25).await
}

/// Whatever is asked on them, and however polite they are.
pub(crate) async fn connections_that_prove_nothing_end(
    environment: Arc<Environment>,
) -> Result<()> {
    let chain = chain_with(&environment, &["--prove-seconds", "2"]).await?;
    let bystander = Bystander::arrives(&chain).await?;
    let bad = new_token(TokenKind::Access);
    let asks = [
        Ask::of(BASE_DOMAIN, "/"),
        Ask::of(chain.host(), PATH),
        Ask::of(chain.host(), PATH).with(bad.expose()),
        Ask::of("other.example", "/"),
    ];
    let mut strangers = Vec::new();
    for (number, ask) in (1..).zip(&asks) {
        let mut stranger = Stranger::comes(&chain, Ipv4Addr::new(127, 0, 1, number), &[]).await?;
        stranger.asks(ask, 1).await;
        stranger.gets(1).await?;
        strangers.push(stranger);
    }
    let mut over_http1 = chain.raw_caller().await?;
    over_http1
        .send(format!("GET / HTTP/1.1\r\nHost: {BASE_DOMAIN}\r\n\r\n"))
        .await?;
    over_http1.through("</html>").await?;
    let all_end = async {
        for (stranger, ask) in strangers.into_iter().zip(&asks) {
            let seen = timeout(SOON, stranger.stays()).await;
            let seen = seen.with_context(|| format!("{ask:?} stays"))?;
            ensure!(seen.goodbye && seen.answers == 1, "{ask:?}: {seen:?}");
        }
        let (rest, _) = over_http1.rest().await?;
        ensure!(rest.trim().is_empty(), "{rest}");
        Ok(())
    };
    bystander.meanwhile(&chain, all_end).await?;
    ensure!(told(&chain, LATE).await? >= 5.0);
    // Who has proved something stays: its watch is open on its first connection.
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// Answers that may not be sent: their window is 0.
pub(crate) async fn refusals_that_nobody_takes(environment: Arc<Environment>) -> Result<()> {
    const CONNECTIONS: usize = 100;
    const STREAMS: u32 = 250;
    /// For all of them, bytes; 25,000 answers alone were more.
    const GROWTH: u64 = 24 << 20;
    let mut chain = chain_with(&environment, &["--prove-seconds", "5"]).await?;
    // The limit of failures would end them sooner.
    let mut limits = no_limits();
    limits["perAddress"]["unprovedRequestsPerMinute"] = serde_json::json!(300);
    crate::limits::change(&mut chain, limits).await?;
    let bystander = Bystander::arrives(&chain).await?;
    let before = chain.server.resident_memory()?;
    let bad = new_token(TokenKind::Access);
    let ask = Ask::of(chain.host(), PATH).with(bad.expose());
    let comes = |_| async {
        let from = Ipv4Addr::new(127, 0, 1, 1);
        let window = [(setting::INITIAL_WINDOW_SIZE, 0)];
        let mut stranger = Stranger::comes(&chain, from, &window).await?;
        stranger.asks(&ask, STREAMS).await;
        stranger.gets(STREAMS).await?;
        anyhow::Ok(stranger)
    };
    let crowd = stream::iter(0..CONNECTIONS).map(comes).buffered(2);
    let crowd = bystander.meanwhile(&chain, async {
        let crowd: Vec<Result<Stranger>> = crowd.collect().await;
        crowd.into_iter().collect::<Result<Vec<_>>>()
    });
    let crowd = crowd.await?;
    let grown = chain.server.peak_memory()?.saturating_sub(before);
    println!("the server grew by {} KiB", grown / 1024);
    ensure!(grown < GROWTH, "the server grew by {grown} bytes");
    let leave = crowd.into_iter().map(|stranger| async {
        let seen = timeout(SOON, stranger.stays()).await;
        anyhow::Ok(seen.context("a stranger stays")?)
    });
    let ends = bystander.meanwhile(&chain, try_join_all(leave)).await?;
    ensure!(ends.iter().all(|seen| seen.goodbye), "{ends:?}");
    bystander.leaves(&chain).await?;
    chain.stop().await
}
