//! What a caller leaves ends everywhere, also where it stood still.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::chain::SOON;
use integration::environment::Environment;
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
    tells(&stage.chain.client, "tunnel_client_open_requests", 0.0).await?;
    tells(&stage.chain.server, "tunnel_server_open_requests", 0.0).await?;
    stage.stub.seen.read_on.cancel();
    until("its end at the upstream", SOON, || async {
        Ok((stage.stub.seen.open() == 0).then_some(()))
    })
    .await?;
    stage.strike().await
}
