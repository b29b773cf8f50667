//! Requests to switch protocols: what the upstream is asked, and what becomes of its
//! answer.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::http1::{self, Headers};
use tokio::net::TcpStream;

use crate::proxies::{Proxies, Side, sorted};
use integration::raw_http::Connection;

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";
const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\
                    X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\
                    X-Stream-Protocol-Version: v3.channel.k8s.io\r\n";

/// Method, lines, and the protocol that they ask for.
const ASKED: &[(&str, &str, &str)] = &[("GET", WEBSOCKET, "websocket"), ("POST", SPDY, "SPDY/3.1")];

/// A request to switch, after the upstream has answered it.
struct Asked {
    /// What the upstream was asked.
    headers: Headers,
    target: String,
    /// What the caller was answered.
    answer: String,
    caller: Connection<TcpStream>,
    upstream: Connection<TcpStream>,
}

async fn ask(proxies: &Proxies, side: Side, request: &str, answer: &str) -> Result<Asked> {
    let mut caller = proxies.caller(side).await?;
    caller.send(request).await?;
    let (mut upstream, head) = proxies.upstream.request().await?;
    let (asked, _) = http1::request(head.as_bytes())?.context("a cut request")?;
    upstream.send(answer).await?;
    let answer = caller.head().await?;
    Ok(Asked {
        headers: asked.headers,
        target: asked.target,
        answer,
        caller,
        upstream,
    })
}

/// Both sides' requests, but for what the hop itself says.
fn same_asked(kubectl: &Asked, ours: &Asked) -> Result<()> {
    // In front of a server without TLS kubectl keeps its credential back.
    let own = ["user-agent", "authorization"];
    let headers = [kubectl, ours].map(|one| sorted(&one.headers, &own));
    ensure!(headers[0] == headers[1], "asked with {headers:#?}");
    ensure!(kubectl.target == ours.target);
    Ok(())
}

pub(crate) async fn switches(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&["--reject-paths="]).await?;
    for (method, lines, protocol) in ASKED {
        let request =
            format!("{method} /api/v1/x?a=%2F HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
             X-Kept: a\r\n\r\nearly"
        );
        let mut both = Vec::new();
        for side in [Side::Kubectl, Side::Ours] {
            let mut asked = ask(&proxies, side, &request, &answer).await?;
            ensure!(
                asked.answer.starts_with("HTTP/1.1 101 "),
                "{}",
                asked.answer
            );
            let answer = asked.answer.to_lowercase();
            for line in [
                "connection: upgrade",
                "x-kept: a",
                &format!("upgrade: {protocol}"),
            ] {
                ensure!(answer.contains(&line.to_lowercase()), "{side:?}: {answer}");
            }
            ensure!(asked.caller.exactly(5).await? == "early");
            asked.caller.send("ping").await?;
            ensure!(asked.upstream.exactly(4).await? == "ping");
            asked.upstream.send("pong").await?;
            ensure!(asked.caller.exactly(4).await? == "pong");
            both.push(asked);
        }
        same_asked(&both[0], &both[1]).context(*method)?;
    }
    Ok(())
}

/// The upstream's own answer comes through, and the connection ends with it.
pub(crate) async fn refusals(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&["--reject-paths="]).await?;
    for (method, lines, _) in ASKED {
        let request = format!("{method} /api/v1/x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        for status in [
            "403 Forbidden",
            "404 Not Found",
            "500 Internal Server Error",
        ] {
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            let mut both = Vec::new();
            for side in [Side::Kubectl, Side::Ours] {
                let mut asked = ask(&proxies, side, &request, &answer).await?;
                let (body, ended) = asked.caller.rest().await?;
                let text = format!("{}{body}", asked.answer);
                let (read, _) = http1::response(text.as_bytes(), method)?.context("cut")?;
                ensure!(read.body == b"{}", "{side:?}: {text}");
                let headers = sorted(&read.headers, &["date", "connection"]);
                both.push((read.status, headers, ended));
            }
            ensure!(both[0] == both[1], "{both:#?}");
        }
    }
    Ok(())
}
