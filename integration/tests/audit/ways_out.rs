//! Each way out of the gateway gives one line, and that says what happened.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, CALLER, CLUSTER, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::raw_http::{Accepted, RawUpstream};
use integration::server_config::{new_token, no_limits};
use integration::wait::until;
use serde_json::{Value, json};
use tunnel_protocol::token::TokenKind;

use crate::lines;

/// What a test sends: a request's head, and the host and token it goes with.
struct Ask<'a> {
    host: String,
    token: Option<&'a str>,
    line: &'a str,
    rest: &'a str,
}

impl Ask<'_> {
    fn text(&self) -> String {
        let token = self
            .token
            .map(|token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tester/1\r\n{}Connection: close\r\n{}",
            self.line,
            self.host,
            token.unwrap_or_default(),
            self.rest
        )
    }
}

/// Sends it and gives the status, if any comes.
async fn ask(chain: &Chain, ask: &Ask<'_>) -> Result<String> {
    let mut caller = chain.raw_caller().await?;
    caller.send(ask.text()).await?;
    Ok(caller.rest().await?.0)
}

pub(crate) async fn each_way_out_has_one_line(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions {
        server_arguments: ["--response-timeout-seconds", "1"]
            .map(str::to_owned)
            .to_vec(),
        ..ChainOptions::bare()
    };
    let (mut chain, cluster) = played_cluster::start(&environment, options).await?;
    let stranger = new_token(TokenKind::Access);
    let connector = new_token(TokenKind::Connector);
    for (what, token) in [
        ("a stranger's token", &stranger),
        ("a connector token", &connector),
    ] {
        environment.secrets.add(what, token.expose());
    }
    chain.config.cluster("empty", &[&connector]);
    chain.config.caller("stranger", &["empty"], &[&stranger]);
    chain.config.callers[0]["clusters"] = json!(["*"]);
    chain.write_config()?;
    let token = chain.access_token.expose().to_owned();
    let by_path = |path: &str| format!("GET /clusters/{CLUSTER}{path}");
    until("the stranger", SOON, || async {
        let ask_it = Ask {
            host: chain.host(),
            token: Some(stranger.expose()),
            line: "GET /warm-up",
            rest: "\r\n",
        };
        let answer = ask(&chain, &ask_it).await?;
        Ok(answer.starts_with("HTTP/1.1 403").then_some(()))
    })
    .await?;

    let mut expected = Vec::new();
    answered_by_the_cluster(&chain, &cluster, &mut expected).await?;
    let path_line = by_path("/by-path");
    let refused: [(&str, String, Option<&str>, Value); 8] = [
        (
            "GET /a/../dots",
            chain.host(),
            Some(&token),
            json!({"path": "/a/../dots", "status": 400, "decision": "refused", "outcome": "bad-request"}),
        ),
        (
            "GET /no-token",
            chain.host(),
            None,
            json!({"status": 401, "decision": "unauthenticated", "outcome": "unauthenticated", "caller": null}),
        ),
        (
            "GET /wrong-token",
            chain.host(),
            Some("culvert_access_x"),
            json!({"status": 401, "decision": "unauthenticated", "outcome": "unauthenticated"}),
        ),
        (
            "GET /forbidden",
            chain.host(),
            Some(stranger.expose()),
            json!({"status": 403, "decision": "denied", "outcome": "forbidden", "caller": "stranger", "cluster": CLUSTER, "linkId": null}),
        ),
        (
            "GET /unknown-cluster",
            format!("nowhere.{BASE_DOMAIN}"),
            Some(&token),
            json!({"status": 404, "decision": "refused", "outcome": "unknown-cluster", "caller": CALLER, "cluster": null}),
        ),
        (
            "GET /unknown-path",
            BASE_DOMAIN.to_owned(),
            Some(&token),
            json!({"status": 404, "decision": "refused", "outcome": "unknown-path", "caller": null}),
        ),
        (
            "GET /unknown-host",
            "other.example".to_owned(),
            Some(&token),
            json!({"status": 421, "decision": "refused", "outcome": "unknown-host"}),
        ),
        (
            "GET /no-link",
            format!("empty.{BASE_DOMAIN}"),
            Some(stranger.expose()),
            json!({"status": 503, "decision": "allowed", "rule": "clusters: empty", "outcome": "no-link", "cluster": "empty"}),
        ),
    ];
    for (line, host, token, fields) in refused {
        let ask_it = Ask {
            host,
            token,
            line,
            rest: "\r\n",
        };
        let answer = ask(&chain, &ask_it).await?;
        ensure!(answer.starts_with("HTTP/1.1 "), "{line}: {answer}");
        let path = line.trim_start_matches("GET ").to_owned();
        expected.push((path, fields));
    }
    let case = Ask {
        host: BASE_DOMAIN.to_owned(),
        token: Some(&token),
        line: &path_line,
        rest: "\r\n",
    };
    let serving = async { answer(&cluster, "HTTP/1.1 204 No\r\n\r\n").await };
    let (_, _connection) = tokio::try_join!(ask(&chain, &case), serving)?;
    expected.push((
        "/by-path".to_owned(),
        json!({"status": 204, "outcome": "answered", "rule": "clusters: *"}),
    ));

    for (path, fields) in &expected {
        let line = lines::ended(&chain, path).await?;
        lines::must_hold(&line, fields).with_context(|| path.clone())?;
        common(&line)?;
    }
    // Whatever is still to come has come when the server has ended.
    chain.server.terminate()?;
    chain.server.ended(SOON).await?;
    let all = lines::of(&chain.server);
    for (path, _) in &expected {
        let count = lines::at(&all, "request", path).len();
        ensure!(count == 1, "{path} has {count} lines");
    }
    let warm_up = lines::at(&all, "request", "/warm-up").len();
    let requests = all.iter().filter(|line| line["event"] == "request").count();
    ensure!(
        requests == expected.len() + warm_up,
        "there are other lines"
    );
    chain.stop().await
}

async fn answer(cluster: &RawUpstream, text: &str) -> Result<Accepted> {
    let (mut connection, _) = cluster.request().await?;
    connection.send(text).await?;
    Ok(connection)
}

/// Calls that reach the cluster, which answers in its own ways.
async fn answered_by_the_cluster(
    chain: &Chain,
    cluster: &RawUpstream,
    expected: &mut Vec<(String, Value)>,
) -> Result<()> {
    let token = chain.access_token.expose();
    let allowed = |more: Value| {
        let mut fields = json!({"decision": "allowed", "caller": CALLER, "token": "one",
            "authenticatedBy": "access_token", "cluster": CLUSTER});
        if let (Some(fields), Some(more)) = (fields.as_object_mut(), more.as_object()) {
            fields.extend(more.clone());
        }
        fields
    };
    let ask_it = |line, rest| Ask {
        host: chain.host(),
        token: Some(token),
        line,
        rest,
    };
    for (line, rest, says, fields) in [
        (
            "GET /answered",
            "\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            json!({"status": 200, "outcome": "answered", "whole": true, "requestBytes": 0, "responseBytes": 5}),
        ),
        (
            "POST /posted",
            "Content-Length: 4\r\n\r\nbody",
            "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            json!({"status": 409, "outcome": "answered", "whole": true, "requestBytes": 4, "responseBytes": 0}),
        ),
        (
            "GET /cut-by-the-cluster",
            "\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            json!({"status": 200, "outcome": "answered", "whole": false, "responseBytes": 5}),
        ),
        (
            "GET /no-http",
            "\r\n",
            "SSH-2.0-x\r\n\r\n",
            json!({"status": 502, "outcome": "api-server-broken", "whole": true}),
        ),
    ] {
        let serving = async { answer(cluster, says).await.map(drop) };
        let case = ask_it(line, rest);
        tokio::try_join!(ask(chain, &case), serving)?;
        let path = line.split_once(' ').context("no path")?.1.to_owned();
        expected.push((path, allowed(fields)));
    }
    // It takes the request and is silent.
    let case = ask_it("GET /timeout", "\r\n");
    let (said, silent) = tokio::try_join!(ask(chain, &case), cluster.request())?;
    ensure!(said.starts_with("HTTP/1.1 504"), "{said}");
    drop(silent);
    let fields = json!({"status": 504, "outcome": "timeout", "reason": "no answer from the cluster within 1 s"});
    expected.push(("/timeout".to_owned(), allowed(fields)));
    // The caller goes, before the answer and in its midst.
    let mut caller = chain.raw_caller().await?;
    caller
        .send(ask_it("GET /gone?watch=1", "\r\n").text())
        .await?;
    let (mut connection, _) = cluster.request().await?;
    drop(caller);
    connection.rest().await?;
    let fields = json!({"status": null, "outcome": "abandoned", "whole": false, "verb": "get", "query": "watch=1"});
    expected.push(("/gone".to_owned(), allowed(fields)));
    let mut caller = chain.raw_caller().await?;
    caller
        .send(ask_it("GET /gone-midst", "\r\n").text())
        .await?;
    let says = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let mut connection = answer(cluster, says).await?;
    caller.through("hello").await?;
    drop(caller);
    connection.rest().await?;
    let fields = json!({"status": 200, "outcome": "answered", "whole": false, "responseBytes": 5});
    expected.push(("/gone-midst".to_owned(), allowed(fields)));
    Ok(())
}

/// What each line has.
fn common(line: &Value) -> Result<()> {
    let id = line["requestId"].as_str().context("no id")?;
    ensure!(id.len() == 32, "{id}");
    let time = line["time"].as_str().context("no time")?;
    ensure!(time.len() == "2026-01-02T03:04:05.678Z".len(), "{time}");
    let client = line["clientAddress"].as_str().context("no address")?;
    ensure!(client.starts_with("127.0.0.1:"), "{client}");
    ensure!(line["durationMs"].is_u64() && line["userAgent"] == "tester/1");
    let reached = line["linkInstance"].is_string();
    ensure!(line["linkId"].is_u64() == reached, "{line}");
    Ok(())
}

pub(crate) async fn limits_have_lines(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions::bare();
    let (mut chain, _cluster) = played_cluster::start(&environment, options).await?;
    let mut limits = no_limits();
    limits["perAddress"]["failuresPerMinute"] = 1.into();
    chain.config.limits = Some(limits);
    chain.write_config()?;
    chain.restart_server().await?;
    let ask_it = Ask {
        host: chain.host(),
        token: Some("nonsense"),
        line: "GET /limited",
        rest: "\r\n",
    };
    until("a limit", SOON, || async {
        let answer = ask(&chain, &ask_it).await?;
        Ok(answer.starts_with("HTTP/1.1 429").then_some(()))
    })
    .await?;
    let line = until("its line", SOON, || async {
        let lines = lines::at(&lines::of(&chain.server), "request", "/limited");
        Ok(lines.into_iter().find(|line| line["status"] == 429))
    })
    .await?;
    let fields = json!({"decision": "refused", "outcome": "too-many-requests", "caller": null});
    lines::must_hold(&line, &fields)?;
    chain.stop().await
}
