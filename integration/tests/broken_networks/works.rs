//! Networks in which all works.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;

use crate::report::{check, text};

/// All steps to the server, in this order, then those behind us.
const STEPS: [&str; 10] = [
    "resolve",
    "connect",
    "tls",
    "carrier",
    "token",
    "name",
    "ping",
    "sidecar",
    "api-server",
    "identity",
];

pub(crate) async fn all_steps_are_told(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let report = check(&environment, &chain, &[], &[]).await?;
    ensure!(report.exit == 0 && report.json["ok"] == true, "{report:?}");
    let steps = report.steps()?;
    let names: Vec<_> = steps.iter().map(|(step, ..)| *step).collect();
    ensure!(names == STEPS, "{names:?}");
    let seen = |step: &str| {
        let found = steps.iter().find(|(name, ..)| *name == step);
        found.map(|(_, _, seen)| *seen).context("no such step")
    };
    for (step, expected) in [
        ("resolve", "localhost is 127.0.0.1"),
        ("connect", "from 127.0.0.1:"),
        ("tls", "TLS 1.3; the certificate is for"),
        ("tls", "issued by CN=Culvert development CA"),
        ("carrier", "HTTP upgrade"),
        ("name", "https://prod.culvert.test:"),
        ("sidecar", "answers"),
        ("api-server", "Kubernetes v1."),
        ("identity", "system:serviceaccount:culvert:connector"),
    ] {
        let seen = seen(step)?;
        ensure!(seen.contains(expected), "{step}: {seen}");
    }
    let (exit, lines) = text(&environment, &chain, &[], &[], &[]).await?;
    println!("{lines}");
    ensure!(exit == 0, "{lines}");
    for step in STEPS {
        let line = format!("  ok     {step:<10}  ");
        ensure!(lines.contains(&line), "no {line:?} in {lines}");
    }
    chain.stop().await
}

async fn calls_without_end(client: &reqwest::Client, url: &str) -> Result<Infallible> {
    loop {
        let answer = client.get(url).send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
    }
}

/// A check's link is beside the others, and no requests come to it.
pub(crate) async fn a_check_takes_no_requests(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let url = format!("{}/version", chain.url_by_host());
    let client = chain.caller()?;
    let asked = async {
        for _ in 0..5 {
            // It would answer nothing: nobody listens at its upstream.
            let flags = [("--upstream", "127.255.254.253:1".to_owned())];
            let report = check(&environment, &chain, &flags, &[]).await?;
            let fails = report.fails()?.map(|(step, _)| step);
            ensure!(fails == Some("sidecar"), "{report:?}");
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = asked => ended?,
        failed = calls_without_end(&client, &url) => match failed? {},
    }
    // One link was there all the time.
    let handshakes = r#"tunnel_server_handshakes_total{outcome="accepted"}"#;
    ensure!(chain.server.metric(handshakes).await? == Some(6.0));
    let links = chain.server.metric("tunnel_server_links").await?;
    ensure!(links == Some(1.0), "{links:?}");
    chain.stop().await
}
