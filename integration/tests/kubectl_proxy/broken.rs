//! Upstreams and callers that break off, or speak no HTTP.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::raw_http::Ended;

use crate::proxies::{Proxies, Side, with_length};

const BOTH: [Side; 2] = [Side::Kubectl, Side::Ours];
const GET: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const KIND: &str = "Content-Type: text/plain\r\n";

/// No answer comes of it: kubectl says why with 500, ours with 502.
const NONE: &[&str] = &[
    "",
    "garbage\r\n\r\n",
    "HTTP/1.1 200",
    "HTTP/1.1 200 OK\r\nX: y\r\n",
    "HTTP/1.1 abc OK\r\n\r\n",
    "HTTP/1.1 1000 X\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhix",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
];

/// kubectl's parser takes them.
const TAKEN: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX A: a\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nX-A : a\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
];

pub(crate) async fn answers_that_are_none(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for answer in NONE.iter().chain(TAKEN) {
        let taken = TAKEN.contains(answer);
        let kubectl = proxies.raw_answer(Side::Kubectl, GET.as_bytes(), answer);
        let (_, kubectl, _) = kubectl.await?;
        let expected = if taken {
            "HTTP/1.1 200 "
        } else {
            "HTTP/1.1 500 "
        };
        ensure!(kubectl.starts_with(expected), "{answer:?}: {kubectl}");
        let ours = proxies.answered(Side::Ours, GET.as_bytes(), answer).await?;
        ensure!(ours.answer.status == 502, "{answer:?}: {ours:?}");
        let body: serde_json::Value = serde_json::from_slice(&ours.answer.body)?;
        ensure!(body["kind"] == "Status", "{body}");
    }
    Ok(())
}

/// With kubectl's errors the same is said, where Go's words are known.
pub(crate) async fn broken_in_kubectls_words(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start_ours(&[], &["--kubectl-errors"]).await?;
    let upgrade = GET.replace("close\r\n", "Upgrade\r\nUpgrade: websocket\r\n");
    for (request, answer, same) in [
        (GET, "", true),
        (&upgrade, "", true),
        (
            &upgrade,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            true,
        ),
        (GET, "garbage\r\n\r\n", false),
    ] {
        let mut both = Vec::new();
        for side in BOTH {
            let mut caller = proxies.caller(side).await?;
            caller.send(request).await?;
            let (mut upstream, _) = proxies.upstream.request().await?;
            upstream.send(answer).await?;
            drop(upstream);
            let head = caller.head().await?;
            ensure!(head.starts_with("HTTP/1.1 500 "), "{side:?}: {head}");
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap_or_default();
            let length = length.split("\r\n").next().unwrap_or_default().parse()?;
            both.push(caller.exactly(length).await?);
        }
        ensure!((both[0] == both[1]) == same, "{answer:?}: {both:?}");
        ensure!(both[1].ends_with('\n'), "{both:?}");
    }
    Ok(())
}

/// The caller can tell: no last chunk, or fewer bytes than were announced.
pub(crate) async fn answers_that_are_cut(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for answer in [
        format!("HTTP/1.1 200 OK\r\n{KIND}Content-Length: 5\r\n\r\nhi"),
        format!("HTTP/1.1 200 OK\r\n{KIND}Transfer-Encoding: chunked\r\n\r\n5\r\nhi"),
        format!("HTTP/1.1 200 OK\r\n{KIND}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"),
        format!("HTTP/1.1 200 OK\r\n{KIND}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n"),
    ] {
        for side in BOTH {
            let (_, came, _) = proxies.raw_answer(side, GET.as_bytes(), &answer).await?;
            ensure!(!came.contains("\r\n0\r\n"), "{side:?}: {came}");
            ensure!(!came.contains("HTTP/1.1 5"), "{side:?}: {came}");
            let whole = came.to_lowercase().contains("content-length: 2\r\n");
            ensure!(!whole, "{side:?}: {came}");
        }
    }
    Ok(())
}

/// Statuses, lengths and versions that ours answers as kubectl does.
pub(crate) async fn odd_answers(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for (answer, expected) in [
        ("HTTP/1.0 200 OK\r\nContent-Type: a\r\n\r\nhi", "hi"),
        ("HTTP/1.1 200 OK\r\nContent-Type: a\r\n\r\nhi", "hi"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Length: 2\r\n\r\nhiEXTRA",
            "hi",
        ),
        (
            "HTTP/1.1 200 OK\nContent-Type: a\nContent-Length: 2\n\nhi",
            "hi",
        ),
        (
            "HTTP/1.1 200\r\nContent-Type: a\r\nContent-Length: 2\r\n\r\nhi",
            "hi",
        ),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""),
        (
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            "",
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: a\r\n\r\n",
            "",
        ),
        (
            "HTTP/1.1 999 Odd\r\nContent-Type: a\r\nContent-Length: 2\r\n\r\nhi",
            "hi",
        ),
    ] {
        let mut both = Vec::new();
        for side in BOTH {
            let exchange = proxies.answered(side, GET.as_bytes(), answer).await?;
            ensure!(
                exchange.answer.body == expected.as_bytes(),
                "{side:?}: {answer:?}"
            );
            let headers = crate::proxies::sorted(&exchange.answer.headers, &["date"]);
            both.push((exchange.answer.status, headers));
            let (_, raw, _) = proxies.raw_answer(side, GET.as_bytes(), answer).await?;
            ensure!(raw.starts_with("HTTP/1.1 "), "{side:?}: {raw}");
        }
        ensure!(both[0] == both[1], "{answer:?}: {both:?}");
    }
    Ok(())
}

/// A caller whose chunks are none, while the upstream waits for them.
pub(crate) async fn requests_that_are_cut(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        let request = format!(
            "POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n{body}"
        );
        for (side, status) in [(Side::Kubectl, "500"), (Side::Ours, "400")] {
            let mut caller = proxies.caller(side).await?;
            caller.send(&request).await?;
            // Whether the upstream sees any of it is chance.
            let (answer, ended) = caller.rest().await?;
            let answer = with_length(answer);
            ensure!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{side:?}: {answer}"
            );
            ensure!(ended == Ended::Closed, "{side:?}");
        }
    }
    Ok(())
}

/// An answer that comes before all of the request: kubectl keeps it back.
pub(crate) async fn early_answers(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let answer =
        "HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: a\r\nContent-Length: 2\r\n\r\nno";
    for side in BOTH {
        let mut caller = proxies.caller(side).await?;
        caller
            .send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n0123456789")
            .await?;
        let (mut upstream, _) = proxies.upstream.request().await?;
        upstream.send(answer).await?;
        if side == Side::Kubectl {
            caller.send("0123456789").await?;
        }
        let head = caller.head().await?;
        ensure!(head.starts_with("HTTP/1.1 413 "), "{side:?}: {head}");
        ensure!(caller.exactly(2).await? == "no", "{side:?}");
    }
    Ok(())
}

/// Who asked is gone, and so is the upstream's work for it; who has ended its own
/// direction counts as gone.
pub(crate) async fn callers_that_go(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for side in BOTH {
        for only_its_direction in [false, true] {
            let mut caller = proxies.caller(side).await?;
            caller.send(GET).await?;
            let (mut upstream, _) = proxies.upstream.request().await?;
            if only_its_direction {
                caller.finish().await?;
            } else {
                drop(caller.into_inner());
                let (more, _) = upstream.rest().await?;
                ensure!(more.is_empty(), "{side:?}: {more}");
                continue;
            }
            let (more, _) = upstream.rest().await?;
            ensure!(more.is_empty(), "{side:?}: {more}");
            let (answer, ended) = caller.rest().await?;
            let expected = if side == Side::Kubectl {
                "HTTP/1.1 500 "
            } else {
                ""
            };
            ensure!(answer.starts_with(expected), "{side:?}: {answer}");
            ensure!(side == Side::Kubectl || answer.is_empty(), "{answer}");
            ensure!(ended == Ended::Closed, "{side:?}");
        }
    }
    Ok(())
}

/// Each event as it comes, as watches need it.
pub(crate) async fn events_pass_one_by_one(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for (framing, wraps) in [("Transfer-Encoding: chunked\r\n", true), ("", false)] {
        for side in BOTH {
            let mut caller = proxies.caller(side).await?;
            caller.send(GET).await?;
            let (mut upstream, _) = proxies.upstream.request().await?;
            upstream
                .send(format!("HTTP/1.1 200 OK\r\n{KIND}{framing}\r\n"))
                .await?;
            let head = caller.head().await?;
            ensure!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{side:?}: {head}");
            for event in ["{\"a\":1}\n", "{\"b\":2}\n"] {
                let sent = match wraps {
                    true => format!("{:x}\r\n{event}\r\n", event.len()),
                    false => event.to_owned(),
                };
                upstream.send(sent).await?;
                caller.through(event).await?;
            }
        }
    }
    Ok(())
}

/// What Go adds to an answer, and the words that it puts in the place of the upstream's.
pub(crate) async fn what_kubectl_adds(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let answer = "HTTP/1.1 201 Very Well\r\nContent-Length: 2\r\n\r\nhi";
    for (side, reason, adds) in [
        (Side::Kubectl, "Created", true),
        (Side::Ours, "Very Well", false),
    ] {
        let (_, raw, _) = proxies.raw_answer(side, GET.as_bytes(), answer).await?;
        ensure!(
            raw.starts_with(&format!("HTTP/1.1 201 {reason}\r\n")),
            "{raw}"
        );
        for name in ["\r\ndate: ", "\r\ncontent-type: text/plain"] {
            ensure!(raw.to_lowercase().contains(name) == adds, "{side:?}: {raw}");
        }
    }
    Ok(())
}
