//! What a caller leaves ends everywhere, also where it stood still.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use integration::chain::{ChainOptions, SOON};
use integration::environment::Environment;
use integration::raw_http::{Ended, RawUpstream};
use integration::wait::until;
use tokio::time::timeout;

use crate::caller::{Caller, send};
use crate::stage::{Stage, tells};

/// A watch whose request has a body that nobody takes: any caller can send it.
pub(crate) async fn an_upload_behind_an_answer(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut caller = Caller::connect(&stage.chain).await?;
    let (answer, mut body) = caller.post("/watch-and-sink").await?;
    let answer = timeout(SOON, answer).await.context("no answer")??;
    let mut sending = tokio::task::JoinSet::new();
    sending.spawn(async move { send(&mut body, u64::MAX).await });
    tells(&stage.chain.client, "tunnel_client_stalled_streams", 1.0).await?;
    drop((answer, sending, caller));
    stage.stub.seen.read_on.cancel();
    until("its end at the upstream", SOON, || async {
        Ok((stage.stub.seen.open() == 0).then_some(()))
    })
    .await?;
    tells(&stage.chain.client, "tunnel_client_open_requests", 0.0).await?;
    tells(&stage.chain.server, "tunnel_server_open_requests", 0.0).await?;
    stage.strike().await
}

/// `kubectl exec` into a program that does not read, ended by Ctrl-C.
pub(crate) async fn an_upgraded_connection(environment: Arc<Environment>) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    let mut caller = chain.raw_caller().await?;
    let switch = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
    caller
        .send(chain.raw_head(false, "POST", "/exec", switch))
        .await?;
    let (mut program, _) = upstream.request().await?;
    program
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
        )
        .await?;
    ensure!(caller.head().await?.starts_with("HTTP/1.1 101"));
    let sending = async {
        let piece = Bytes::from_static(&[b'x'; 64 * 1024]);
        loop {
            caller.send(&piece).await?;
        }
    };
    tokio::select! {
        ended = sending => {
            let ended: Result<()> = ended;
            return ended.context("the caller was cut off");
        }
        stalled = tells(&chain.client, "tunnel_client_stalled_streams", 1.0) => stalled?,
    }
    drop(caller);
    // It notices without reading; what was on its way to it comes first.
    let (_, ended) = program.rest().await?;
    ensure!(ended == Ended::Broken, "it looks like a proper end");
    tells(&chain.client, "tunnel_client_open_requests", 0.0).await?;
    tells(&chain.server, "tunnel_server_open_requests", 0.0).await?;
    chain.stop().await
}
