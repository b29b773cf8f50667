//! What the log of a start says of the way to the server.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::{Chain, SOON};
use integration::environment::Environment;
use integration::wait::until;
use serde_json::Value;

/// Lines of the client's log at this level.
fn lines(chain: &Chain, level: &str) -> Vec<Value> {
    let lines = chain.client.log_lines();
    lines
        .into_iter()
        .filter(|line| line["level"] == level)
        .collect()
}

/// The steps that are told, by name.
fn steps(chain: &Chain) -> Vec<String> {
    let told = lines(chain, "INFO").into_iter();
    let steps = told.filter_map(|line| Some(line["step"].as_str()?.to_owned()));
    steps.filter(|step| step != "sidecar").collect()
}

async fn tries(chain: &Chain, more_than: f64) -> Result<f64> {
    let failed = r#"tunnel_client_attempts_total{outcome="failed"}"#;
    until("further tries", SOON, || async {
        let tries = chain.client.metric(failed).await?;
        Ok(tries.filter(|tries| *tries > more_than))
    })
    .await
}

pub(crate) async fn the_log_tells_the_steps_once(environment: Arc<Environment>) -> Result<()> {
    const ALL: [&str; 5] = ["resolve", "connect", "tls", "carrier", "token"];
    let mut chain = environment.chain().await?;
    ensure!(steps(&chain) == ALL, "{:?}", steps(&chain));

    // Nobody is there: told once, however often it is tried.
    chain.server.kill()?;
    tries(&chain, 5.0).await?;
    let refused = |chain: &Chain| {
        let lines = lines(chain, "WARN").into_iter();
        let lines = lines.filter(|line| line["message"] == "no link");
        lines.collect::<Vec<_>>()
    };
    let told = refused(&chain);
    ensure!(
        told.iter().all(|line| line["step"] == "connect"),
        "{told:?}"
    );
    // localhost may have two addresses, and the last one's fault is told.
    ensure!((1..=2).contains(&told.len()), "{told:?}");

    // It is back: the steps are told again, and not at the next link.
    chain.restart_server().await?;
    chain.linked().await?;
    let again = ALL.len() * 2 + 1;
    until("the steps, again", SOON, || async {
        Ok((steps(&chain).len() >= again).then_some(()))
    })
    .await?;
    ensure!(
        steps(&chain)[ALL.len()..] == ["resolve", "resolve", "connect", "tls", "carrier", "token"]
    );
    chain.stop().await
}
