//! Streams have a line when they start, and one when they end, whoever ends them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::raw_http::{Accepted, Caller, RawUpstream};
use serde_json::json;

use crate::lines;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n";

async fn open(
    chain: &Chain,
    cluster: &RawUpstream,
    target: &str,
    lines: &str,
    says: &str,
) -> Result<(Caller, Accepted)> {
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "GET", target, lines))
        .await?;
    let (mut connection, _) = cluster.request().await?;
    connection.send(says).await?;
    caller.head().await?;
    Ok((caller, connection))
}

pub(crate) async fn streams_start_and_are_cut(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions {
        // It keeps callers from exec by itself.
        sidecar_arguments: vec!["--disable-filter".to_owned()],
        ..ChainOptions::bare()
    };
    let (mut chain, cluster) = played_cluster::start(&environment, options).await?;
    let (mut exec, mut exec_end) = open(
        &chain,
        &cluster,
        "/api/v1/namespaces/a/pods/b/exec?command=secret&container=c",
        UPGRADE,
        SWITCHED,
    )
    .await?;
    let (mut watch, _watch_end) =
        open(&chain, &cluster, "/api/v1/watched?watch=1", "", EVENTS).await?;
    let (mut upgraded, _upgraded_end) =
        open(&chain, &cluster, "/revoked-upgrade", UPGRADE, SWITCHED).await?;

    let exec_path = "/api/v1/namespaces/a/pods/b/exec";
    let started = lines::started(&chain, exec_path).await?;
    let fields = json!({"status": 101, "decision": "allowed", "verb": "create", "resource": "pods",
        "subresource": "exec", "namespace": "a", "name": "b", "query": "command=…&container=c",
        "outcome": null, "durationMs": null, "whole": null});
    lines::must_hold(&started, &fields)?;
    let fields = json!({"status": 200, "verb": "watch", "resource": "watched", "apiVersion": "v1"});
    lines::must_hold(&lines::started(&chain, "/api/v1/watched").await?, &fields)?;
    ensure!(lines::at(&lines::of(&chain.server), "request", exec_path).is_empty());

    // One that ends by itself, both ways.
    exec.send("ping").await?;
    exec.finish().await?;
    exec_end.exactly(4).await?;
    exec_end.send("pongs").await?;
    exec_end.finish().await?;
    exec.rest().await?;
    let ended = lines::ended(&chain, exec_path).await?;
    let fields = json!({"outcome": "upgraded", "whole": true, "requestBytes": 4, "responseBytes": 5,
        "requestId": started["requestId"], "reason": null});
    lines::must_hold(&ended, &fields)?;

    // And others when their caller's access is gone.
    watch.through("event").await?;
    chain.config.callers[0]["clusters"] = json!([]);
    chain.write_config()?;
    watch.rest().await?;
    upgraded.rest().await?;
    for (path, outcome) in [
        ("/api/v1/watched", "answered"),
        ("/revoked-upgrade", "upgraded"),
    ] {
        let ended = lines::ended(&chain, path).await?;
        let fields = json!({"outcome": outcome, "whole": false, "decision": "allowed",
            "reason": "the caller's access was revoked"});
        lines::must_hold(&ended, &fields)?;
    }
    // A stream that the cluster refuses has not started.
    chain.stop().await
}

pub(crate) async fn a_link_that_breaks(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let (mut watch, _watch_end) =
        open(&chain, &cluster, "/api/v1/watched?watch=1", "", EVENTS).await?;
    let mut waiting = chain.raw_caller().await?;
    waiting
        .send(chain.raw_head(false, "GET", "/waiting", ""))
        .await?;
    let _held = cluster.request().await?;
    lines::started(&chain, "/api/v1/watched").await?;
    chain.client.kill()?;
    watch.rest().await?;
    ensure!(waiting.head().await?.starts_with("HTTP/1.1 502"));
    let fields = json!({"status": 502, "outcome": "link-broken", "decision": "allowed"});
    lines::must_hold(&lines::ended(&chain, "/waiting").await?, &fields)?;
    let fields = json!({"status": 200, "outcome": "answered", "whole": false, "responseBytes": 5});
    lines::must_hold(&lines::ended(&chain, "/api/v1/watched").await?, &fields)?;
    chain.stop().await
}

pub(crate) async fn a_drained_server(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions {
        server_arguments: ["--drain-seconds", "1"].map(str::to_owned).to_vec(),
        ..ChainOptions::bare()
    };
    let (mut chain, cluster) = played_cluster::start(&environment, options).await?;
    let _watch = open(&chain, &cluster, "/watched?watch=1", "", EVENTS).await?;
    let (mut upgraded, mut upgraded_end) =
        open(&chain, &cluster, "/upgraded", UPGRADE, SWITCHED).await?;
    upgraded.send("ping").await?;
    upgraded_end.exactly(4).await?;
    let mut waiting = chain.raw_caller().await?;
    waiting
        .send(chain.raw_head(false, "GET", "/waiting", ""))
        .await?;
    let _waiting_end = cluster.request().await?;
    chain.server.terminate()?;
    chain.server.ended(SOON).await?;
    let all = lines::of(&chain.server);
    for (path, fields) in [
        ("/watched", json!({"outcome": "answered", "whole": false})),
        (
            "/upgraded",
            json!({"outcome": "upgraded", "whole": false, "requestBytes": 4}),
        ),
        // Its end may be told by the link, too, which ends at the same time.
        ("/waiting", json!({"whole": false, "responseBytes": 0})),
    ] {
        let lines = lines::at(&all, "request", path);
        ensure!(lines.len() == 1, "{path} has {} lines", lines.len());
        lines::must_hold(&lines[0], &fields)?;
    }
    chain.stop().await
}
