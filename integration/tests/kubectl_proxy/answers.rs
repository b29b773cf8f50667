//! The upstream's answers, as they come to the caller.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;

use crate::proxies::{Proxies, Side, sorted};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const HEAD: &[u8] = b"HEAD /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn answers() -> Vec<String> {
    let statuses = [
        "200 OK",
        "201 Created",
        "202 Accepted",
        "206 Partial Content",
        "299 Odd",
        "300 Multiple Choices",
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "405 Method Not Allowed",
        "409 Conflict",
        "410 Gone",
        "413 Content Too Large",
        "422 Unprocessable Content",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
        "504 Gateway Timeout",
        "599 Odd",
    ];
    let kind = "Content-Type: application/json\r\n";
    let mut answers: Vec<_> = statuses
        .iter()
        .map(|status| format!("HTTP/1.1 {status}\r\n{kind}Content-Length: 2\r\n\r\n{{}}"))
        .collect();
    for bodiless in ["204 No Content", "304 Not Modified"] {
        answers.push(format!("HTTP/1.1 {bodiless}\r\nETag: a\r\n\r\n"));
    }
    for line in [
        "Retry-After: 1",
        "Warning: 299 - \"a\"\r\nWarning: 299 - \"b\"",
        "Set-Cookie: a=b\r\nSet-Cookie: c=d",
        "Audit-Id: a",
        "X-Kubernetes-Pf-Flowschema-Uid: a",
        "ETag: \"a\"",
        "Location: /elsewhere?a=%2F",
        "Location: https://elsewhere.example/",
        "Www-Authenticate: Basic",
        "Access-Control-Allow-Origin: *",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        "Connection: X-Hop\r\nX-Hop: a",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Upgrade: websocket",
        "Content-Encoding: br",
        "X-Empty:",
        "Server: a",
        "Via: 1.1 a",
    ] {
        answers.push(format!(
            "HTTP/1.1 200 OK\r\n{kind}{line}\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
    }
    for body in [
        "2\r\n{}\r\n0\r\n\r\n",
        "1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n",
        "0\r\n\r\n",
    ] {
        answers.push(format!(
            "HTTP/1.1 200 OK\r\n{kind}Transfer-Encoding: chunked\r\n\r\n{body}"
        ));
    }
    answers.push(format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n{kind}Content-Length: 2\r\n\r\n{{}}"));
    answers
}

pub(crate) async fn answers_come_through(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let mut differ = Vec::new();
    for answer in answers() {
        for request in [GET, HEAD] {
            let text = match request {
                // Without its body.
                HEAD => answer.rsplit_once("\r\n\r\n").map(|(head, _)| head),
                _ => None,
            };
            if request == HEAD && answer.contains("chunked") {
                continue;
            }
            let text = text.map_or(answer.clone(), |head| format!("{head}\r\n\r\n"));
            let kubectl = proxies.answered(Side::Kubectl, request, &text).await;
            let kubectl = kubectl.with_context(|| format!("kubectl: {text}"))?;
            let ours = proxies.answered(Side::Ours, request, &text).await;
            let ours = ours.with_context(|| format!("proxy-sidecar: {text}"))?;
            let [one, other] = [&kubectl, &ours].map(|one| {
                let answer = &one.answer;
                // Each adds its own where there is none.
                let without: &[&str] = if text.contains("Date:") {
                    &[]
                } else {
                    &["date"]
                };
                (
                    answer.status,
                    sorted(&answer.headers, without),
                    &answer.body,
                    one.ended,
                )
            });
            if one != other {
                differ.push(format!("{text:?}: {one:?} {other:?}"));
            }
        }
    }
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    Ok(())
}
