//! Informational answers, and what nobody may add.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::{Chain, ChainOptions};
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::raw_http::RawUpstream;

async fn chain(environment: &Environment) -> Result<(Chain, RawUpstream)> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    Ok((environment.chain_with(options).await?, upstream))
}

/// 100 is said at the edge; the upstream is not asked for it.
pub(crate) async fn expect_100_continue(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = chain(&environment).await?;
    let mut caller = chain.raw_caller().await?;
    let lines = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    caller
        .send(chain.raw_head(false, "POST", "/", lines))
        .await?;
    let head = caller.head().await?;
    ensure!(head == "HTTP/1.1 100 Continue\r\n\r\n", "{head}");
    caller.send("hello").await?;
    let (mut connection, head) = upstream.request().await?;
    ensure!(!head.to_lowercase().contains("expect"), "{head}");
    ensure!(connection.exactly(5).await? == "hello");
    connection
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await?;
    ensure!(caller.head().await?.starts_with("HTTP/1.1 200"));
    ensure!(caller.exactly(2).await? == "ok");
    chain.stop().await
}

/// What the upstream says before its answer is not relayed, and breaks nothing.
pub(crate) async fn early_hints(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = chain(&environment).await?;
    for version in HttpVersion::BOTH {
        let caller = version.caller(&chain)?;
        for early in ["103 Early Hints", "102 Processing", "100 Continue"] {
            let answering = async {
                let (mut connection, _) = upstream.request().await?;
                let early = format!("HTTP/1.1 {early}\r\nLink: </a>\r\n\r\n");
                connection.send(early.repeat(3)).await?;
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                    .await
            };
            let url = chain.url_by_host();
            let calling = version.get(&caller, &url);
            let (answer, ()) = tokio::try_join!(calling, answering)?;
            ensure!(
                !answer.headers().contains_key("link"),
                "{version:?}, {early}"
            );
            ensure!(answer.text().await? == "ok", "{version:?}, {early}");
        }
    }
    chain.stop().await
}

/// The origin's answer had none.
pub(crate) async fn no_date_is_added(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = chain(&environment).await?;
    for version in HttpVersion::BOTH {
        let caller = version.caller(&chain)?;
        for date in [None, Some("Mon, 01 Jan 2001 00:00:00 GMT")] {
            let answering = async {
                let (mut connection, _) = upstream.request().await?;
                let line = date.map(|date| format!("Date: {date}\r\n"));
                let line = line.unwrap_or_default();
                connection
                    .send(format!(
                        "HTTP/1.1 200 OK\r\n{line}Content-Length: 0\r\nConnection: close\r\n\r\n"
                    ))
                    .await
            };
            let url = chain.url_by_host();
            let calling = version.get(&caller, &url);
            let (answer, ()) = tokio::try_join!(calling, answering)?;
            let came = answer.headers().get("date").map(|date| date.as_bytes());
            ensure!(came == date.map(str::as_bytes), "{version:?}: {came:?}");
        }
    }
    chain.stop().await
}
