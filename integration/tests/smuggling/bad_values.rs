//! Header values that HTTP/2 cannot carry, in answers: a 502 with its cause, and
//! the link stays, with all that runs over it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, ChainOptions};
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::played_cluster;
use integration::raw_http::{Accepted, RawUpstream};
use reqwest::{Client, Response};
use tunnel_protocol::limits::LINK_HEADERS;

pub(crate) async fn values_that_http2_cannot_carry(environment: Arc<Environment>) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    play(&chain, &upstream, "sidecar-broken").await?;
    chain.stop().await?;
    let (chain, upstream) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    play(&chain, &upstream, "api-server-broken").await?;
    chain.stop().await
}

async fn play(chain: &Chain, upstream: &RawUpstream, code: &str) -> Result<()> {
    let caller = HttpVersion::Http2.caller(chain)?;
    // Must live through all of it.
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    let (mut watch, mut watched) = ask(chain, upstream, &caller, head.as_bytes()).await?;
    ensure!(watch.chunk().await?.as_deref() == Some(&b"one"[..]));

    let control = (0..b' ')
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte));
    for byte in control {
        for place in ["X: a@b", "X@Y: z", "X: @", "Content-Length: 0@", "X:\tb@"] {
            let line = replace(place, byte);
            let answer = [
                b"HTTP/1.1 200 OK\r\n",
                &line[..],
                b"\r\nContent-Length: 5\r\n\r\nhello",
            ];
            refused(chain, upstream, &caller, &answer.concat(), code)
                .await
                .with_context(|| format!("{byte} in {place}"))?;
        }
    }
    let reason = replace("HTTP/1.1 200 O@K\r\nContent-Length: 0\r\n\r\n", 1);
    refused(chain, upstream, &caller, &reason, code).await?;
    let trailer = replace(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\nX: @\r\n\r\n",
        0,
    );
    // A reset may overtake the head.
    let whole = match ask(chain, upstream, &caller, &trailer).await {
        Ok((response, _)) => response.status().is_success() && response.bytes().await.is_ok(),
        Err(error) if error.is::<reqwest::Error>() => false,
        Err(error) => return Err(error),
    };
    ensure!(!whole, "a body with a bad trailer is whole");
    too_long_for_the_link(chain, upstream, &caller).await?;

    let high = b"HTTP/1.1 200 OK\r\nX: \xe4\tb \r\nContent-Length: 0\r\n\r\n";
    let (response, _) = ask(chain, upstream, &caller, high).await?;
    ensure!(
        response.headers()["x"].as_bytes() == b"\xe4\tb",
        "{response:?}"
    );

    watched.send("3\r\ntwo\r\n0\r\n\r\n").await?;
    ensure!(watch.text().await? == "two", "the stream is gone");
    let linked = |line: &&serde_json::Value| line["message"] == "linked";
    let links = chain.server.log_lines().iter().filter(linked).count();
    ensure!(links == 1, "{links} links, one after another");
    Ok(())
}

/// More than a link takes in one header list, within what HTTP/1.1 reads.
async fn too_long_for_the_link(
    chain: &Chain,
    upstream: &RawUpstream,
    caller: &Client,
) -> Result<()> {
    let line = format!("X: {}\r\n", "y".repeat(4000));
    let lines = line.repeat(usize::try_from(LINK_HEADERS)? / line.len() + 10);
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
    let (response, _) = ask(chain, upstream, caller, answer.as_bytes()).await?;
    let status = response.status();
    ensure!(status == 502, "{status}: {}", response.text().await?);
    Ok(())
}

fn replace(text: &str, byte: u8) -> Vec<u8> {
    let replaced = text.bytes().map(|one| if one == b'@' { byte } else { one });
    replaced.collect()
}

async fn refused(
    chain: &Chain,
    upstream: &RawUpstream,
    caller: &Client,
    answer: &[u8],
    code: &str,
) -> Result<()> {
    let (response, _) = ask(chain, upstream, caller, answer).await?;
    let status = response.status().as_u16();
    let error = response.headers().get("culvert-error").cloned();
    let body = response.text().await?;
    let error = error.context("no error code")?;
    ensure!(status == 502 && error == code, "{status} {error:?} {body}");
    ensure!(body.contains("invalid"), "no cause: {body}");
    Ok(())
}

/// One request, answered with these bytes.
async fn ask(
    chain: &Chain,
    upstream: &RawUpstream,
    caller: &Client,
    answer: &[u8],
) -> Result<(Response, Accepted)> {
    let asking = caller.get(format!("{}/x", chain.url_by_host())).send();
    let answering = async {
        let (mut connection, _) = upstream.request().await?;
        connection.send(answer).await?;
        anyhow::Ok(connection)
    };
    let (response, connection) = tokio::join!(asking, answering);
    Ok((response?, connection?))
}
