//! A connector that goes, with a request on its way to it that it never looks at.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::http2_frames::{flag, go_away, headers};
use reqwest::Method;

use crate::connector::{CONTROL, Connector, ORDINARY};
use crate::stage::{Answer, Stage};

/// Two links of one cluster, and a caller's request. Whichever gets it says goodbye
/// and that it has looked at nothing but the control stream; the other behaves.
async fn one_goes(stage: &Stage, method: Method, body: Vec<u8>) -> Result<Answer> {
    let mut one = linked(stage, "evil-1").await?;
    let mut other = linked(stage, "evil-2").await?;
    stage.chain.links(3).await?;
    let serving = async {
        let (gone, left) = tokio::select! {
            asked = one.request() => { asked?; (&mut one, &mut other) }
            asked = other.request() => { asked?; (&mut other, &mut one) }
        };
        gone.writer.send(go_away(CONTROL, 0, b"")).await?;
        tokio::select! {
            ended = left.behave() => ended,
            () = gone.reader.to_the_end() => std::future::pending().await,
        }
    };
    tokio::select! {
        answer = stage.call(method, body) => answer,
        failed = serving => Err(failed.err().context("unreachable")?),
    }
}

async fn linked(stage: &Stage, instance: &str) -> Result<Connector> {
    let mut connector = Connector::link_as(stage, ORDINARY, instance, 1).await?;
    ensure!(connector.request().await? == CONTROL);
    let accepted = headers(CONTROL, flag::NONE, &[(":status", "200")]);
    connector.writer.send(accepted).await?;
    Ok(connector)
}

pub(crate) async fn what_it_has_not_looked_at_goes_to_another_link(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    one_goes(&stage, Method::GET, Vec::new())
        .await?
        .must_be_evils_own()?;
    stage.end().await
}

/// Its body is gone, and nobody may be told that it was received.
pub(crate) async fn what_had_a_body_is_told_as_broken(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let answer = one_goes(&stage, Method::POST, b"once".to_vec()).await?;
    ensure!(answer.status == 502, "{answer:?}");
    answer.must_be_a_refusal()?;
    stage.end().await
}
