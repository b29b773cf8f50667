//! Boxes that take out of requests what they do not know.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::Chain;
use integration::environment::Environment;

use crate::middlebox::{Does, Middlebox, Then, Way, servers_tls};
use crate::report::{Row, check, told};

fn without(head: &str, is_stripped: impl Fn(&str) -> bool) -> String {
    let upgrades = |line: &str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("upgrade:") || line.starts_with("connection:")
    };
    let is_upgrade = |line: &&str| line.to_ascii_lowercase().starts_with("upgrade:");
    let asked = head.lines().find(is_upgrade).unwrap_or_default();
    if !is_stripped(asked) {
        return head.to_owned();
    }
    let kept = head.split_inclusive("\r\n").filter(|line| !upgrades(line));
    kept.collect()
}

fn all(head: &str) -> String {
    without(head, |_| true)
}

fn ours(head: &str) -> String {
    without(head, |asked| asked.to_ascii_lowercase().contains("culvert"))
}

fn websocket(head: &str) -> String {
    without(head, |asked| {
        asked.to_ascii_lowercase().contains("websocket")
    })
}

async fn strips(chain: &Chain, change: fn(&str) -> String) -> Result<Middlebox> {
    let does = Does::Passes(change, Way::to(chain, Then::Passes)?);
    Middlebox::with(servers_tls(chain, &[b"http/1.1"])?, does).await
}

pub(crate) async fn boxes_that_strip_all(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let strips = strips(&chain, all).await?;
    let rows = [Row::to(
        "upgrades stripped",
        strips.url(),
        "carrier",
        &[
            "removed the request to upgrade",
            "pass HTTP upgrades or WebSocket",
        ],
    )];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}

pub(crate) async fn boxes_that_strip_one(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for (change, carrier) in [
        (ours as fn(&str) -> String, "WebSocket"),
        (websocket, "HTTP upgrade"),
    ] {
        let strips = strips(&chain, change).await?;
        let flags = [("--server", strips.url())];
        let report = check(&environment, &chain, &flags, &[]).await?;
        ensure!(report.exit == 0, "{report:?}");
        let steps = report.steps()?;
        let seen = steps.iter().find(|(step, ..)| *step == "carrier");
        let (_, _, seen) = seen.context("no carrier")?;
        ensure!(*seen == carrier, "{seen} instead of {carrier}");
    }
    chain.stop().await
}
