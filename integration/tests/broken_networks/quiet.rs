//! A box that cuts what is quiet, sooner than pings come.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::wait::until;

use crate::middlebox::{Does, Middlebox, Then, Way, servers_tls};

/// Links live that long then.
const CUT_AFTER: Duration = Duration::from_secs(4);
/// Two links' lives, with waits between them, and that of one that lives.
const PATIENCE: Duration = Duration::from_secs(5 * 30);

pub(crate) async fn quiet_links_that_are_cut_are_pinged_past(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut chain = environment.chain().await?;
    let way = Way::to(&chain, Then::CutsQuiet(CUT_AFTER))?;
    let tls = servers_tls(&chain, &[b"http/1.1"])?;
    let cuts = Middlebox::with(tls, Does::Passes(str::to_owned, way)).await?;
    chain.restart_client_to(&cuts.url(), &[]).await?;
    let warned = until("the warning", PATIENCE, || async {
        let lines = chain.client.log_lines();
        let mut lines = lines.into_iter();
        Ok(lines.find(|line| !line["ping_every_ms"].is_null()))
    })
    .await?;
    let said = warned["message"].as_str().unwrap_or_default();
    ensure!(said.contains("raise its idle timeout"), "{warned}");
    ensure!(warned["level"] == "WARN", "{warned}");
    // One that outlives two such waits without a caller.
    let began = "tunnel_client_link_registered_timestamp_seconds";
    until("a link that lives", PATIENCE, || async {
        let page = chain.client.admin_page("/metrics").await?.1;
        let began = page.lines().find(|line| line.starts_with(began));
        let began = began.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let lived = began.map(|began| now.as_secs_f64() - began);
        Ok(lived.filter(|lived| *lived > 2.5 * CUT_AFTER.as_secs_f64()))
    })
    .await?;
    chain.stop().await
}
