//! Very many idle links: what each holds in the server's memory, and all of them
//! coming anew at once.

mod fleet;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::answering::Answering;
use integration::chain::ChainOptions;
use integration::endure::amount;
use integration::environment::Environment;
use integration::server_config::{new_token, no_limits};
use integration::steady_calls::SteadyCalls;
use integration::{suite, tests};
use tunnel_protocol::token::TokenKind;

use fleet::Fleet;

/// What a link may hold, bytes. The bar is 60 kB of 15,000 in a build that is
/// optimised; futures of one that is not are larger.
const EACH: u64 = 90_000;
/// For all of them, on a loaded machine.
pub(crate) const LINKED: Duration = Duration::from_secs(300);
/// Calls before and behind.
const SOME: usize = 50;

fn main() -> ExitCode {
    suite::run(tests![
        idle_links_hold_little_and_a_storm_of_them_harms_nobody
    ])
}

async fn idle_links_hold_little_and_a_storm_of_them_harms_nobody(
    environment: Arc<Environment>,
) -> Result<()> {
    let count = usize::try_from(amount(1000, 15_000))?;
    let upstream = Answering::start().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        limits: Some(no_limits()),
        ..ChainOptions::bare()
    };
    let mut chain = environment.chain_with(options).await?;
    let mut tokens = String::new();
    for number in 0..count {
        let token = new_token(TokenKind::Connector);
        chain.config.cluster(&format!("idle-{number}"), &[&token]);
        tokens += token.expose();
        tokens.push('\n');
    }
    std::fs::write(chain.folder().join("tokens"), tokens)?;
    chain.write_config()?;
    chain.restart_server().await?;
    chain.linked().await?;

    let before = chain.server.resident_memory()?;
    let mut fleet = Fleet::start(&chain, count)?;
    let begun = Instant::now();
    fleet.linked().await?;
    println!("{count} links in {:.1?}", begun.elapsed());
    let with_ours = u32::try_from(count + 1)?;
    chain.links(with_ours).await?;
    let each = (chain.server.resident_memory()? - before) / count as u64;
    println!("a link holds {each} bytes");
    ensure!(each <= EACH, "{each}");

    let clients = vec![chain.caller()?, chain.caller()?];
    let url = format!("{}/version", chain.url_by_host());
    let mut calls = SteadyCalls::start(clients, &url, chain.access_token.expose());
    calls.more(SOME).await?;
    let (begun, answered) = (Instant::now(), calls.count());
    calls.during(fleet.link_anew()).await??;
    let took = begun.elapsed();
    println!(
        "all anew in {took:.1?}, beside {} calls, and none failed",
        calls.count() - answered
    );
    calls.more(SOME).await?;
    calls.end().await?;
    chain.links(with_ours).await?;
    drop(fleet);
    chain.stop().await
}
