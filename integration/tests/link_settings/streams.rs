//! Many watches on one link, up to its bound.

use std::sync::Arc;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use integration::chain::SOON;
use integration::environment::Environment;
use integration::wait::until;
use tunnel_protocol::limits::OPEN_STREAMS;

use crate::caller::{Caller, text};
use crate::stage::Stage;

/// Requests that one caller's connection may have open.
const EACH: usize = 250;

/// hyper's own bound is 200, and beyond it it would queue.
pub(crate) async fn as_many_as_a_link_takes(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    stage.without_limits().await?;
    let chain = &stage.chain;
    let opening = (0..OPEN_STREAMS / EACH).map(|_| async move {
        let mut caller = Caller::connect(chain).await?;
        let mut watches = Vec::new();
        for _ in 0..EACH {
            let mut watch = caller.get("/watch").await?;
            ensure!(watch.status() == 200, "{}", watch.status());
            ensure!(watch.body_mut().data().await.transpose()?.is_some());
            watches.push(watch);
        }
        anyhow::Ok((caller, watches))
    });
    let mut open = try_join_all(opening).await?;
    ensure!(stage.stub.seen.open() == OPEN_STREAMS);

    let mut caller = Caller::connect(chain).await?;
    let refused = caller.get("/").await?;
    ensure!(refused.status() == 503, "{}", refused.status());
    ensure!(refused.headers()["culvert-error"] == "link-full");
    ensure!(refused.headers()["retry-after"] == "1");
    text(refused.into_body()).await?;
    ensure!(stage.stub.seen.open() == OPEN_STREAMS, "watches have ended");
    println!(
        "resident memory, MiB, with {OPEN_STREAMS} watches: server {}, client {}",
        chain.server.resident_memory()? >> 20,
        chain.client.resident_memory()? >> 20
    );

    // One goes, one comes.
    drop(open.first_mut().map(|(_, watches)| watches.swap_remove(0)));
    until("a free place", SOON, || async {
        Ok((stage.stub.seen.open() < OPEN_STREAMS).then_some(()))
    })
    .await?;
    caller.is_served().await?;
    drop(open);
    stage.strike().await
}
