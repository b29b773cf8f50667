//! Targets, hosts and methods that say two things at once.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;

use crate::stage::{Stage, answers, is_bare_400, is_status};

/// What answers.
enum Refusal {
    /// The gateway, with a Status.
    Status(u16),
    /// The HTTP library.
    Bare,
}

use Refusal::{Bare, Status};

/// `{A}` is the Authorization line, `{H}` the cluster's host.
const TARGETS: &[(&str, Refusal, &str)] = &[
    (
        "CONNECT to elsewhere",
        Status(421),
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n{A}\r\n\r\n",
    ),
    (
        "CONNECT to the cluster",
        Status(400),
        "CONNECT {H}:443 HTTP/1.1\r\nHost: {H}:443\r\n{A}\r\n\r\n",
    ),
    (
        "CONNECT with a Host of ours",
        Status(400),
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    (
        "CONNECT with a path",
        Status(400),
        "CONNECT /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    (
        "absolute form to elsewhere",
        Status(421),
        "GET http://evil.example/x HTTP/1.1\r\nHost: evil.example\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "absolute form against Host",
        Status(400),
        "GET http://evil.example/x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "absolute form to us, Host elsewhere",
        Status(400),
        "GET https://{H}/x HTTP/1.1\r\nHost: evil.example\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "absolute form to another cluster",
        Status(400),
        "GET https://other.culvert.test/x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "absolute form with a user",
        Status(400),
        "GET https://{H}@evil.example/x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "absolute form without Host",
        Status(400),
        "GET https://{H}/x HTTP/1.1\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "no Host",
        Status(400),
        "GET /x HTTP/1.1\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "an empty Host",
        Status(421),
        "GET /x HTTP/1.1\r\nHost:\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "a Host with a path",
        Status(421),
        "GET /x HTTP/1.1\r\nHost: {H}/y\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "a Host with a user",
        Status(400),
        "GET /x HTTP/1.1\r\nHost: user@{H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "two hosts in one line",
        Status(421),
        "GET /x HTTP/1.1\r\nHost: {H}, other.culvert.test\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "the server itself",
        Status(400),
        "OPTIONS * HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "a path that is a host",
        Bare,
        "GET evil.example/x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "a path that is an authority",
        Status(400),
        "GET evil.example:443 HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "a path without its slash",
        Status(400),
        "GET x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "dots",
        Status(400),
        "GET /x/../y HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
    (
        "a path that is a line",
        Status(400),
        "GET /x%0d%0aX:%20y HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: close\r\n\r\n",
    ),
];

pub(crate) async fn targets_that_read_in_two_ways(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::without_sidecar(&environment).await?;
    for (case, refusal, head) in TARGETS {
        refused(&stage, refusal, head).await.context(*case)?;
    }
    same_host_in_both(&stage).await?;
    stage.stop().await
}

async fn refused(stage: &Stage, refusal: &Refusal, head: &str) -> Result<()> {
    let head = head
        .replace("{H}", &stage.chain.host())
        .replace("{A}", &stage.authorization());
    let mut caller = stage.chain.raw_caller().await?;
    // Whoever takes CONNECT for granted reads the rest as the tunnel's.
    caller.send(head + &stage.smuggled()).await?;
    let (answers, _) = answers(&mut caller).await?;
    let [answer] = &answers[..] else {
        anyhow::bail!("{answers:?}");
    };
    match refusal {
        Status(code) => is_status(answer, *code)?,
        Bare => is_bare_400(answer)?,
    }
    stage.nothing_else_came(&[]).await
}

/// Absolute form is for proxies, and legal for all.
async fn same_host_in_both(stage: &Stage) -> Result<()> {
    let host = stage.chain.host();
    let lines = format!("{}\r\nConnection: close", stage.authorization());
    let sent = format!("GET https://{host}/x?y HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n\r\n");
    let mut caller = stage.chain.raw_caller().await?;
    caller.send(sent).await?;
    let (answers, _) = answers(&mut caller).await?;
    ensure!(
        answers.len() == 1 && answers[0].body == b"/x?y",
        "{answers:?}"
    );
    stage
        .nothing_else_came(&[("/x?y".to_owned(), Vec::new())])
        .await
}
