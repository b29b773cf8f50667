//! More links where those that are there carry much.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::wait::until;
use reqwest::Response;

use crate::stage::Stage;

const BUSY: usize = 5;

async fn watch(stage: &Stage) -> Result<Response> {
    let url = format!("{}/api/v1/pods?watch=true", stage.chain.url_by_host());
    let mut watch = stage
        .chain
        .caller()?
        .get(url)
        .send()
        .await?
        .error_for_status()?;
    let first = watch.chunk().await?.context("no event")?;
    ensure!(first == "first", "{first:?}");
    Ok(watch)
}

pub(crate) async fn another_link_comes_and_goes(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment, &[]).await?;
    let busy = BUSY.to_string();
    let flags = [
        "--busy-requests",
        &busy,
        "--quiet-ms",
        "0",
        "--max-links",
        "2",
    ];
    let url = stage.url();
    stage.client(&url, &flags).await?;
    stage.chain.linked().await?;
    let mut watches = Vec::new();
    for _ in 0..BUSY {
        watches.push(watch(&stage).await?);
    }
    stage.chain.links(2).await?;
    // The new one takes what comes, as it is the least loaded; there is no third.
    for _ in 0..BUSY {
        watches.push(watch(&stage).await?);
    }
    let added = async || {
        let (_, text) = stage.chain.client.admin_page("/metrics").await?;
        let mut lines = text.lines();
        let line =
            lines.find_map(|line| line.strip_prefix("tunnel_client_link_open_requests{lane=\"2\""));
        let open = line.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        anyhow::Ok(open)
    };
    let open = added().await?;
    ensure!(open == Some(BUSY), "{open:?}");
    stage.chain.links(2).await?;

    // It is given up as soon as the others can carry all; what it carries goes on.
    let last = watches.pop().context("no watch")?;
    drop(watches);
    until("its farewell", SOON, || async {
        let lines = stage.chain.server.log_lines();
        let said = lines
            .iter()
            .any(|line| line["message"] == "the client drains");
        Ok(said.then_some(()))
    })
    .await?;
    let open = added().await?;
    ensure!(open == Some(1), "{open:?}");
    drop(last);
    stage.chain.links(1).await?;
    stage.stop().await
}
