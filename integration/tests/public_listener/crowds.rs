//! More connections than anybody needs, and fewer files than they need.

use std::future::ready;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::server_config::no_limits;
use integration::wait::until;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bystander::{Bystander, PATH, caller_from};

const CROWD: usize = 10_000;
const CROWD_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What the server lets one address have by default.
const LET_IN: f64 = 1024.0;
/// For all connections of the crowd that are let in, bytes.
const CROWDS_MEMORY: u64 = 128 * 1024 * 1024;

pub(crate) async fn a_crowd_from_one_address(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let neighbour = caller_from(&chain, CROWD_ADDRESS)?;
    let url = format!("{}{PATH}", chain.url_by_host());
    neighbour.get(&url).send().await?.error_for_status()?;
    let before = chain.server.resident_memory()?;
    let crowd: Vec<TcpStream> = stream::iter(0..CROWD)
        .map(|_| chain.tcp_from(CROWD_ADDRESS))
        .buffer_unordered(100)
        // An async closure here crashes incremental builds of rustc 1.95.
        .filter_map(|connected| ready(connected.ok()))
        .collect()
        .await;
    ensure!(crowd.len() > CROWD / 2, "only {} connected", crowd.len());
    // Those that were let in end after a while, having said nothing, and others may
    // follow them: how many are refused depends on how fast the crowd comes.
    let refused = crowd.len() as f64 / 2.0;
    until("the end of those who are too many", SOON, || async {
        let count = chain
            .server
            .metric("tunnel_server_connections_refused_total")
            .await?;
        Ok((count >= Some(refused)).then_some(()))
    })
    .await?;
    let open = chain.server.metric("tunnel_server_connections").await?;
    ensure!(open <= Some(LET_IN + 10.0), "{open:?} connections are open");
    let grown = chain.server.resident_memory()?.saturating_sub(before);
    println!(
        "{} connected, the server grew by {} KiB",
        crowd.len(),
        grown / 1024
    );
    ensure!(grown < CROWDS_MEMORY);
    // Who has proved itself is served even at the crowd's address.
    neighbour.get(&url).send().await?.error_for_status()?;
    bystander.leaves(&chain).await?;
    chain.stop().await
}

pub(crate) async fn proved_connections_are_the_callers(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut chain = environment.chain().await?;
    let mut limits = no_limits();
    limits["perAddress"]["unprovedConnections"] = json!(2);
    limits["perCaller"]["connections"] = json!(4);
    chain.config.limits = Some(limits);
    chain.write_config()?;
    // Each has a connection of its own. Limits of a connection that was there
    // before the change may be others, so: until it is so.
    let url = format!("{}{PATH}", chain.url_by_host());
    let mut callers = Vec::new();
    let limited = until("a connection too many", SOON, || {
        let (caller, url) = (caller_from(&chain, CROWD_ADDRESS), url.clone());
        let callers = &mut callers;
        let caller = caller.inspect(|caller| callers.push(caller.clone()));
        async move {
            let response = caller?.get(url).send().await?;
            Ok((response.status() == 429).then_some(response))
        }
    })
    .await?;
    ensure!(callers.len() >= 5, "already connection {}", callers.len());
    let message = limited.text().await?;
    ensure!(
        message.contains("limits.perCaller.connections"),
        "{message}"
    );
    // The others go on.
    callers[0].get(&url).send().await?.error_for_status()?;
    chain.stop().await
}

fn open_files(id: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{id}/fd"))?.count())
}

fn limit_files(id: u32, files: usize) -> Result<()> {
    let status = Command::new("prlimit")
        .args([&format!("--pid={id}"), &format!("--nofile={files}:")])
        .status()?;
    ensure!(status.success(), "prlimit");
    Ok(())
}

pub(crate) async fn out_of_files_the_listener_rests(environment: Arc<Environment>) -> Result<()> {
    const MORE: usize = 20;
    let chain = environment.chain().await?;
    let id = chain.server.id();
    let bystander = Bystander::arrives(&chain).await?;
    limit_files(id, open_files(id)? + MORE)?;
    let mut crowd = Vec::new();
    for number in 0..MORE * 2 {
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number)?);
        crowd.push(chain.tcp_from(from).await?);
    }
    chain.server.says("cannot accept a connection").await?;
    let (started, used) = (Instant::now(), chain.server.processor_time()?);
    for _ in 0..20 {
        bystander.is_served().await?;
    }
    // Two seconds in which the loop could spin.
    let crowd_waits = timeout(Duration::from_secs(2), crowd[0].readable());
    ensure!(crowd_waits.await.is_err(), "a connection ended early");
    let (passed, used) = (started.elapsed(), chain.server.processor_time()? - used);
    println!("used {used:?} in {passed:?} without a file to accept with");
    ensure!(used < passed / 2, "the accept loop spins");
    drop(crowd);
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// They outlive the task that served them, and take a file each.
pub(crate) async fn links_and_upgraded_connections_count(
    environment: Arc<Environment>,
) -> Result<()> {
    let chain = environment.chain().await?;
    let open = async |count: f64| {
        until("the count of connections", SOON, || async {
            let open = chain.server.metric("tunnel_server_connections").await?;
            Ok((open == Some(count)).then_some(()))
        })
        .await
    };
    open(1.0).await?;
    // The API server takes WebSockets with an Origin only, and we but our own.
    let lines = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://{}\r\n",
        chain.host()
    );
    let mut caller = chain.raw_caller().await?;
    let path = "/api/v1/namespaces?watch=true";
    caller
        .send(chain.raw_head(false, "GET", path, &lines))
        .await?;
    let head = caller.head().await?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    open(2.0).await?;
    drop(caller);
    open(1.0).await?;
    chain.stop().await
}
