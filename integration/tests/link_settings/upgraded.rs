//! Upgraded connections have a budget, too: with a program that does not read, and
//! with a caller who does not.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use integration::chain::{Chain, ChainOptions};
use integration::environment::Environment;
use integration::raw_http::{Accepted, Caller, Connection, Ended, RawUpstream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::stage::tells;

/// One more than has room in the budget of 1 MiB, whoever holds what of it.
const OPEN: usize = 3;
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";

#[derive(Clone, Copy, Debug)]
enum Silent {
    Program,
    Caller,
}

pub(crate) async fn upgraded_connections_have_a_budget(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut cases = Vec::new();
    for silent in [Silent::Program, Silent::Caller] {
        for (server, client) in [("1", "512"), ("512", "1")] {
            let case = one_is_cut(&environment, silent, server, client);
            cases.push(async move {
                let what = format!("{silent:?} does not read, {server} and {client} MiB");
                case.await.context(what)
            });
        }
    }
    try_join_all(cases).await?;
    Ok(())
}

async fn one_is_cut(
    environment: &Environment,
    silent: Silent,
    server: &str,
    client: &str,
) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let budget = |mib: &str| vec!["--stalled-mib".to_owned(), mib.to_owned()];
    let options = ChainOptions {
        upstream: Some(upstream.address),
        server_arguments: budget(server),
        client_arguments: budget(client),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    let mut streams = JoinSet::new();
    for _ in 0..OPEN {
        let (caller, program) = upgraded(&chain, &upstream).await?;
        match silent {
            Silent::Program => streams.spawn(pour(caller, program)),
            Silent::Caller => streams.spawn(pour(program, caller)),
        };
    }
    let ended = streams.join_next().await.context("no stream")??;
    ensure!(ended? == Ended::Broken, "it looks like a proper end");
    let cut = match server {
        "1" => (&chain.server, "tunnel_server_stalled_streams_cut_total"),
        _ => (&chain.client, "tunnel_client_stalled_streams_cut_total"),
    };
    let count = cut.0.metric(cut.1).await?;
    ensure!(count > Some(0.0), "it was not the budget: {count:?}");
    drop(streams);
    tells(&chain.server, "tunnel_server_open_requests", 0.0).await?;
    tells(&chain.client, "tunnel_client_open_requests", 0.0).await?;
    chain.stop().await
}

async fn upgraded(chain: &Chain, upstream: &RawUpstream) -> Result<(Caller, Accepted)> {
    let mut caller = chain.raw_caller().await?;
    let switch = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
    let head = chain.raw_head(false, "POST", "/exec", switch);
    caller.send(head).await?;
    let (mut program, _) = upstream.request().await?;
    program.send(SWITCHING).await?;
    let head = caller.head().await?;
    ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
    Ok((caller, program))
}

/// Sends until nobody takes it any more; then the other side reads.
async fn pour<L, S>(mut loud: Connection<L>, mut silent: Connection<S>) -> Result<Ended>
where
    L: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    while loud.send([b'x'; 64 * 1024]).await.is_ok() {}
    Ok(silent.rest().await?.1)
}
