//! Requests to switch that the two do not read alike, and the bytes around a switch.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::raw_http::Ended;

use crate::compare::Departure::{Passed, Status};
use crate::compare::{Case, compare, get, line};
use crate::proxies::{Proxies, Side};

const BOTH: [Side; 2] = [Side::Kubectl, Side::Ours];
const ASKS: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\n\r\n";

fn websocket(connection: &str) -> Case {
    get("/a")
        .with(format!("Connection: {connection}"))
        .with("Upgrade: websocket")
}

/// The upstream answers 200 to all: whoever asked to switch gets that from ours, and
/// an error from kubectl, which takes more for a request to switch.
pub(crate) async fn what_asks_to_switch(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let cases = vec![
        websocket("Upgrade, close").departs(Passed(200)),
        websocket("close,upgrade").departs(Passed(200)),
        websocket("close\r\nConnection: UPGRADE").departs(Passed(200)),
        // Not the token, though kubectl finds the word in it.
        websocket("xupgradex, close").departs(Passed(200)),
        // Without Connection it asks for nothing.
        get("/a").with("Upgrade: websocket"),
        get("/a").with("Upgrade: h2c"),
        get("/a").with("Connection: close, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk"),
        // As RFC 9110 wants it.
        line("GET /a HTTP/1.0")
            .with("Connection: close, Upgrade\r\nUpgrade: websocket")
            .departs(Passed(200)),
        // What is not carried.
        get("/a").with("Connection: close, Upgrade").departs(Status(400)),
        get("/a")
            .with("Connection: close, Upgrade\r\nUpgrade: foo")
            .departs(Status(400)),
        get("/a")
            .with("Connection: close, Upgrade\r\nUpgrade: websocket, h2c")
            .departs(Status(400)),
        get("/a")
            .with("Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")
            .departs(Status(400)),
    ];
    compare(&proxies, cases).await
}

/// Answers that are no switch.
pub(crate) async fn answers_to_a_switch(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let kind = "Content-Type: text/plain\r\nContent-Length: 2\r\n";
    let switched = "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1";
    for (status, there, here) in [
        ("200 OK", 500, 200),
        ("204 No Content", 500, 204),
        ("302 Found\r\nLocation: /b", 500, 302),
        ("304 Not Modified", 500, 304),
        ("400 Bad Request", 400, 400),
        ("401 Unauthorized\r\nWww-Authenticate: Basic", 401, 401),
        // kubectl joins what it did not ask for.
        (switched, 101, 502),
        ("101 Switching Protocols", 101, 502),
        ("101 Switching Protocols\r\nUpgrade: websocket", 101, 502),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\n{kind}\r\nhi");
        for (side, expected) in BOTH.into_iter().zip([there, here]) {
            let mut caller = proxies.caller(side).await?;
            caller.send(ASKS).await?;
            let (mut upstream, _) = proxies.upstream.request().await?;
            upstream.send(&answer).await?;
            let head = caller.head().await?;
            let expected = format!("HTTP/1.1 {expected} ");
            ensure!(head.starts_with(&expected), "{side:?} {status}: {head}");
        }
    }
    // Whatever comes before a switch: kubectl takes it for the answer.
    for before in ["100 Continue", "103 Early Hints\r\nLink: a"] {
        let answer = format!("HTTP/1.1 {before}\r\n\r\n{SWITCHES}");
        for (side, expected) in BOTH.into_iter().zip(["500", "101"]) {
            let mut caller = proxies.caller(side).await?;
            caller.send(ASKS).await?;
            let (mut upstream, _) = proxies.upstream.request().await?;
            upstream.send(&answer).await?;
            let head = caller.head().await?;
            ensure!(
                head.starts_with(&format!("HTTP/1.1 {expected} ")),
                "{side:?}: {head}"
            );
        }
    }
    Ok(())
}

/// Sent with the request: kubectl loses them.
pub(crate) async fn early_bytes(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for side in BOTH {
        let mut caller = proxies.caller(side).await?;
        caller.send(format!("{ASKS}early")).await?;
        let (mut upstream, _) = proxies.upstream.request().await?;
        upstream.send(format!("{SWITCHES}first")).await?;
        let head = caller.head().await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{side:?}: {head}");
        ensure!(caller.exactly(5).await? == "first", "{side:?}");
        caller.send("later").await?;
        let expected = if side == Side::Ours {
            "earlylater"
        } else {
            "later"
        };
        let came = upstream.exactly(expected.len()).await?;
        ensure!(came == expected, "{side:?}: {came}");
        // What looks like a request is none any more, whatever it holds.
        caller.send("GET /<#\"> HTTP/1.1\r\n\r\n").await?;
        let came = upstream.through("\r\n\r\n").await?;
        ensure!(came == "GET /<#\"> HTTP/1.1\r\n\r\n", "{side:?}: {came}");
    }
    Ok(())
}

/// The end of one direction is passed on, and the other goes on; kubectl ends both.
pub(crate) async fn half_closed(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for side in BOTH {
        for by_the_caller in [true, false] {
            let mut caller = proxies.caller(side).await?;
            caller.send(ASKS).await?;
            let (mut upstream, _) = proxies.upstream.request().await?;
            upstream.send(SWITCHES).await?;
            caller.head().await?;
            let (mut ends, mut stays) = match by_the_caller {
                true => (caller, upstream),
                false => (upstream, caller),
            };
            ends.send("last").await?;
            ends.finish().await?;
            let (last, ended) = stays.rest().await?;
            ensure!(
                (&*last, ended) == ("last", Ended::Closed),
                "{side:?}: {last}"
            );
            if side == Side::Kubectl {
                // Its other direction is closed by now, or soon.
                ensure!(ends.rest().await?.0.is_empty());
                continue;
            }
            stays.send("more").await?;
            stays.finish().await?;
            let (more, ended) = ends.rest().await?;
            ensure!((&*more, ended) == ("more", Ended::Closed), "{more}");
        }
    }
    Ok(())
}

/// Of the hop, also with a request to switch: kubectl sends them on there.
pub(crate) async fn headers_of_a_switch(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for (lines, kept) in [
        ("", ""),
        ("Keep-Alive: 5\r\n", "keep-alive"),
        ("Proxy-Authorization: a\r\n", "proxy-authorization"),
        ("Te: trailers\r\n", "te"),
        ("Accept-Encoding: br\r\n", ""),
        (
            "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n",
            "",
        ),
        ("Cookie: a=b\r\nCookie: c=d\r\n", ""),
        ("X-Many: 1\r\nX-Other: a\r\nX-Many: 2\r\n", ""),
    ] {
        let request = ASKS.replace(
            "Host: localhost\r\n",
            &format!("Host: localhost\r\n{lines}"),
        );
        let mut both = Vec::new();
        for side in BOTH {
            let mut caller = proxies.caller(side).await?;
            caller.send(&request).await?;
            let (mut upstream, head) = proxies.upstream.request().await?;
            upstream.send(SWITCHES).await?;
            caller.head().await?;
            let (asked, _) = integration::http1::request(head.as_bytes())?
                .unwrap_or_else(|| unreachable!("its head is whole, and it has no body: {head}"));
            let own = ["user-agent", "authorization", kept];
            both.push(crate::proxies::sorted(&asked.headers, &own));
        }
        ensure!(both[0] == both[1], "{lines:?}: {both:#?}");
    }
    Ok(())
}
