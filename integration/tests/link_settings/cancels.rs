//! Callers that go at once. Each cancel is a reset on the link; by default twenty
//! of them would end it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::wait::until;
use tokio::time::timeout;

use crate::caller::Caller;
use crate::stage::{Stage, tells};

/// Connections that cancel at once; the listener ends one that resets too many
/// requests which it has not looked at.
const CONNECTIONS: u32 = 10;
/// Requests of one connection that are reset together: below that limit.
const TOGETHER: u32 = 10;
/// Resets after which the server asks for another link, where no flag says otherwise.
const WORN: u32 = 250_000;
const LINKED: &str = "tunnel_client_attempts_total{outcome=\"linked\"}";
/// Bytes, more than all windows on the way.
const GOES_ON: usize = 64 * 1024 * 1024;

async fn nothing_is_left(stage: &Stage) -> Result<()> {
    until("the end of all at the upstream", SOON, || async {
        Ok((stage.stub.seen.open() == 0).then_some(()))
    })
    .await?;
    tells(&stage.chain.client, "tunnel_client_open_requests", 0.0).await?;
    tells(&stage.chain.server, "tunnel_server_open_requests", 0.0).await?;
    Caller::connect(&stage.chain).await?.is_served().await
}

/// Every second one as soon as its answer begins, the others at once.
pub(crate) async fn over_http2(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    stage.without_limits().await?;
    let cancels = amount(10_000, 1_000_000);
    let each = cancels / CONNECTIONS;
    let chain = &stage.chain;
    let cancelling = (0..CONNECTIONS).map(|_| async move {
        let mut caller = Caller::connect(chain).await?;
        for _ in 0..each / TOGETHER {
            let mut open = Vec::new();
            for _ in 0..TOGETHER {
                let request = caller.request(http::Method::GET, "/watch").body(())?;
                open.push(caller.send(request, true).await?);
            }
            // Also shows that what was cancelled before is taken note of.
            for (answer, _) in open.split_off(open.len() / 2) {
                let answer = timeout(SOON, answer).await.context("no answer")??;
                ensure!(answer.status() == 200, "{}", answer.status());
            }
        }
        anyhow::Ok(())
    });
    try_join_all(cancelling).await?;
    println!(
        "{cancels} cancels over HTTP/2, {} reached the upstream",
        stage.stub.seen.all()
    );
    ensure!(stage.stub.seen.all() as u32 >= cancels / 2);
    nothing_is_left(&stage).await?;
    let links = stage.chain.client.metric(LINKED).await?;
    let most = f64::from(1 + cancels / WORN);
    ensure!(
        links.is_some_and(|links| links <= most),
        "{links:?} links, and not {most} at most"
    );
    stage.chain.stop().await
}

/// Each is the end of a connection, and there are fewer as each begins with TLS.
pub(crate) async fn over_http1(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    stage.without_limits().await?;
    let cancels = amount(3_000, 100_000);
    let each = cancels / CONNECTIONS;
    let chain = &stage.chain;
    let cancelling = (0..CONNECTIONS).map(|_| async move {
        for number in 0..each {
            let mut caller = chain.raw_caller().await?;
            caller
                .send(chain.raw_head(false, "GET", "/watch", ""))
                .await?;
            if number % 2 == 0 {
                let head = caller.head().await?;
                ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
            }
        }
        anyhow::Ok(())
    });
    try_join_all(cancelling).await?;
    println!(
        "{cancels} cancels over HTTP/1.1, {} reached the upstream",
        stage.stub.seen.all()
    );
    nothing_is_left(&stage).await?;
    stage.strike().await
}

/// Before h2 ends a link for its resets another takes its place; what is open on the old
/// one goes on.
pub(crate) async fn a_worn_link_is_replaced(environment: Arc<Environment>) -> Result<()> {
    let resets: u32 = 500;
    let flag = ["--link-resets", &resets.to_string()];
    let mut stage = Stage::set_with(&environment, &flag, &[]).await?;
    stage.without_limits().await?;
    let mut caller = Caller::connect(&stage.chain).await?;
    let mut watch = caller.get("/stream").await?.into_body();
    for _ in 0..resets {
        let answer = caller.get("/watch").await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        drop(answer);
    }
    until("a second link", SOON, || async {
        let links = stage.chain.client.metric(LINKED).await?;
        Ok((links == Some(2.0)).then_some(()))
    })
    .await?;
    caller.is_served().await?;
    // More than the windows hold: it goes on over the old link.
    let mut left = GOES_ON;
    while left > 0 {
        let data = timeout(SOON, watch.data())
            .await
            .context("it stands still")?;
        let data = data.context("the old link's stream has ended")??;
        watch.flow_control().release_capacity(data.len())?;
        left = left.saturating_sub(data.len());
    }
    drop(watch);
    let logged = stage.chain.server.log_lines();
    let replaced = logged
        .iter()
        .filter(|line| line["message"] == "the link is replaced");
    ensure!(replaced.count() == 1);
    stage.chain.stop().await
}
