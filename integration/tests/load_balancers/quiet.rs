//! Nothing is said for longer than load balancers wait: pings keep links, while an answer
//! that says nothing is cut, which its caller must see.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::load_balancer::{LoadBalancer, Setup};
use tokio::time::{sleep, timeout};

use crate::answered;
use crate::documented::{caller, is_cut};

/// Longer than a ping's interval, 15 s at most, with some room. In the long form it is what
/// nginx and Debian's HAProxy wait where nothing else is said; nginx waits ten minutes for
/// TCP, and one for HTTP.
fn idle(setup: Setup) -> &'static str {
    match (amount(0, 1), setup) {
        (0, _) => "20s",
        (_, Setup::NginxHttp) => "60s",
        (_, Setup::NginxTcp) => "10m",
        (_, Setup::HaproxyHttp | Setup::HaproxyTcp) => "50s",
    }
}

pub(crate) async fn quiet_links_stay_and_quiet_answers_are_cut_with_an_error(
    environment: Arc<Environment>,
) -> Result<()> {
    let all = Setup::ALL.map(|setup| stays(&environment, setup));
    try_join_all(all).await.map(drop)
}

async fn stays(environment: &Environment, setup: Setup) -> Result<()> {
    let (mut chain, _upstream) = answered(environment).await?;
    let mut balancer = LoadBalancer::before(&mut chain, setup, Some(idle(setup))).await?;
    let started = Instant::now();
    let accepted = "tunnel_server_handshakes_total{outcome=\"accepted\"}";
    let before = chain.server.metric(accepted).await?;

    let url = format!("{}/api/v1/pods?watch=true", balancer.url(&chain));
    // TCP that carries HTTP/2 is not quiet: the server pings its callers.
    let versions: &[_] = match setup.ends_tls() {
        true => setup.versions(),
        false => &[HttpVersion::Http1],
    };
    let mut watches = Vec::new();
    for version in versions {
        let mut watch = version
            .get(&caller(&chain, &balancer, *version)?, &url)
            .await?;
        timeout(SOON, watch.chunk()).await??.context("no event")?;
        watches.push(async move {
            let cut = is_cut_late(watch).await;
            cut.with_context(|| format!("{setup:?}, {version:?}"))
        });
    }
    // Twice the time that a silent link would have; in the long form an hour.
    let quiet = Duration::from_secs(amount(45, 3600).into());
    let (cuts, ()) = tokio::join!(try_join_all(watches), sleep(quiet));
    cuts?;

    balancer.must_run()?;
    let after = chain.server.metric(accepted).await?;
    ensure!(
        after == before,
        "{setup:?}: a link was lost, {before:?} {after:?}"
    );
    let caller = caller(&chain, &balancer, HttpVersion::Http2)?;
    let call = caller.get(balancer.url(&chain)).send().await?;
    ensure!(call.status() == 200, "{setup:?}: {}", call.status());
    println!("{setup:?}: a link was quiet for {:.0?}", started.elapsed());
    chain.stop().await
}

/// Not before its time: it was not for another reason.
async fn is_cut_late(watch: reqwest::Response) -> Result<()> {
    let started = Instant::now();
    is_cut(watch, Duration::from_secs(amount(100, 3600).into())).await?;
    ensure!(
        started.elapsed() > Duration::from_secs(15),
        "it was cut at once"
    );
    Ok(())
}
