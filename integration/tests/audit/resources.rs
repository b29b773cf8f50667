//! What a request is for, as the server reads it, beside what the real API server
//! wrote into its own audit log about the same request.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{ChainOptions, SOON};
use integration::environment::Environment;
use integration::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

use crate::lines;

/// Requests of every form; most are for what is not there.
const REQUESTS: &[&str] = &[
    "GET /",
    "GET /api",
    "GET /apis/",
    "GET /api/v1",
    "GET /apis/apps/v1",
    "GET /version?timeout=32s",
    "GET /openapi/v2",
    "POST /healthz/x",
    "GET /api/v1/pods",
    "HEAD /api/v1/pods",
    "GET /api/v1/pods/",
    "GET /api/v1/pods?watch=1&timeoutSeconds=1",
    "GET /api/v1/pods?watch&timeoutSeconds=1",
    "GET /api/v1/pods?watch=false",
    "GET /api/v1/pods?watch=FALSE",
    "GET /api/v1/pods?watch=0",
    "GET /api/v1/pods?watch=no&timeoutSeconds=1",
    "GET /api/v1/pods?w%61tch=%31&timeoutSeconds=1",
    "GET /api/v1/pods?Watch=1",
    "GET /api/v1/pods?watch=0&watch=1",
    "GET /api/v1/pods?watch=1;x&limit=5",
    "GET /api/v1/namespaces",
    "GET /api/v1/namespaces?watch=1&timeoutSeconds=1",
    "GET /api/v1/namespaces/culvert",
    "GET /api/v1/namespaces/culvert/status",
    "PUT /api/v1/namespaces/nowhere/finalize",
    "PATCH /api/v1/namespaces/nowhere/status",
    "DELETE /api/v1/namespaces/nowhere",
    "GET /api/v1/namespaces/culvert/pods",
    "GET /api/v1/namespaces/culvert/pods/a",
    "GET /api/v1/namespaces/culvert/pods/a/log",
    "GET /api/v1/namespaces/culvert/pods/a/log?follow=true",
    "GET /api/v1/namespaces/culvert/pods/a/status",
    "PUT /api/v1/namespaces/culvert/pods/a",
    "PATCH /api/v1/namespaces/culvert/pods/a",
    "PATCH /api/v1/namespaces/culvert/pods/a/ephemeralcontainers",
    "POST /api/v1/namespaces/culvert/pods",
    "POST /api/v1/namespaces/culvert/pods/a/binding",
    "POST /api/v1/namespaces/culvert/pods/a/eviction",
    "DELETE /api/v1/namespaces/culvert/pods/a",
    "DELETE /api/v1/namespaces/culvert/pods",
    "DELETE /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name=a",
    "GET /api/v1/namespaces/culvert/pods/a/proxy/x/y",
    "POST /api/v1/namespaces/culvert/services/b:80/proxy/x/../y",
    "GET /api/v1/nodes/n/proxy/metrics",
    "POST /api/v1/namespaces/culvert/serviceaccounts/nobody/token",
    "GET /api/v1/watch/pods?timeoutSeconds=1",
    "GET /api/v1/watch/namespaces?timeoutSeconds=1",
    "GET /api/v1/watch/namespaces/culvert/pods?timeoutSeconds=1",
    "GET /api/v1/watch/namespaces/culvert/pods/a?timeoutSeconds=1",
    "GET /api/v1/proxy/namespaces/culvert/pods/a/x",
    "GET /apis/apps/v1/deployments",
    "GET /apis/apps/v1/namespaces/culvert/deployments/a/scale",
    "PUT /apis/apps/v1/namespaces/culvert/deployments/a/scale",
    "GET /apis/apps/v1/watch/deployments?timeoutSeconds=1",
    "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/edit",
    "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "GET /apis/not.there/v1/things/a/b/c/d",
    "GET /apis/not.there/v1/namespaces/n",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name%3Da",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name==a,spec.nodeName!=b",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name!=a",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name%3Da&watch=1&timeoutSeconds=1",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name=a&limit=x",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name=a%5C,b",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name=a/b",
    "GET /api/v1/namespaces/culvert/pods?fieldSelector=metadata.name=a&fieldSelector=metadata.name=b",
    "GET /api/v1/pods?fieldSelector=metadata.name=a&watch=x&timeoutSeconds=x",
    "OPTIONS /api/v1/pods",
    "GET /%61pi/v1/namespaces/culvert/%70ods/a",
    // As they are written, only their verb is another one: below.
    "POST /api/v1/namespaces/culvert/pods/a/exec?command=x",
    "POST /api/v1/namespaces/culvert/pods/a/attach",
    "POST /api/v1/namespaces/culvert/pods/a/portforward",
];

/// To the API server these are `get`; what they do is `create`.
const STREAMS: &[&str] = &[
    "GET /api/v1/namespaces/culvert/pods/a/exec?command=x",
    "GET /api/v1/namespaces/culvert/pods/a/attach",
    "GET /api/v1/namespaces/culvert/pods/a/portforward?ports=80",
];

pub(crate) async fn requests_are_read_as_the_api_server_reads_them(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut options = environment.options().await?;
    options.sidecar_arguments = vec!["--disable-filter".to_owned()];
    let chain = environment.chain_with(ChainOptions { ..options }).await?;
    let caller = chain.caller()?;
    let mark = format!("audit-{}", chain.server_address.port());
    let requests: Vec<&str> = REQUESTS.iter().chain(STREAMS).copied().collect();
    for (index, line) in requests.iter().enumerate() {
        let (method, target) = line.split_once(' ').context("no method")?;
        let request = caller
            .request(
                Method::from_bytes(method.as_bytes())?,
                format!("{}{target}", chain.url_by_host()),
            )
            .header("user-agent", format!("{mark}-{index}"));
        let answer = request.send().await?;
        ensure!(
            answer.headers().get("culvert-error").is_none(),
            "{line} did not reach the API server: {}",
            answer.status()
        );
        answer.bytes().await?;
    }
    let ours = until("our lines", SOON, || async {
        let lines = by_agent(lines::of(&chain.server).into_iter(), "request", &mark);
        Ok((lines.len() == requests.len()).then_some(lines))
    })
    .await?;
    let log = environment.kubernetes().await?.audit_log();
    let theirs = until("the API server's events", SOON, || async {
        let text = std::fs::read_to_string(&log)?;
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let events = by_agent(events, "", &mark);
        Ok((events.len() == requests.len()).then_some(events))
    })
    .await?;
    let mut differences = Vec::new();
    for (index, line) in requests.iter().enumerate() {
        let agent = format!("{mark}-{index}");
        let (ours, theirs) = (&ours[&agent], &theirs[&agent]);
        let mut expected = of_event(theirs);
        if STREAMS.contains(line) {
            ensure!(
                expected["verb"] == "get",
                "{line}: the API server's verb is {}",
                expected["verb"]
            );
            expected["verb"] = "create".into();
        }
        let read = of_line(ours);
        if read != expected {
            differences.push(format!("{line}\n  ours   {read}\n  theirs {expected}"));
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    chain.stop().await
}

/// By user agent, which is another one for each request.
fn by_agent(lines: impl Iterator<Item = Value>, event: &str, mark: &str) -> HashMap<String, Value> {
    lines
        .filter(|line| event.is_empty() || line["event"] == event)
        .filter_map(|line| Some((line["userAgent"].as_str()?.to_owned(), line)))
        .filter(|(agent, _)| agent.starts_with(mark))
        .collect()
}

fn of_line(line: &Value) -> Value {
    json!({
        "verb": line["verb"], "apiGroup": line["apiGroup"], "apiVersion": line["apiVersion"],
        "resource": line["resource"], "subresource": line["subresource"],
        "namespace": line["namespace"], "name": line["name"],
    })
}

fn of_event(event: &Value) -> Value {
    // There is none for the methods that no resource knows.
    let verb = event["verb"].as_str().filter(|verb| !verb.is_empty());
    let object = &event["objectRef"];
    json!({
        "verb": verb, "apiGroup": object["apiGroup"], "apiVersion": object["apiVersion"],
        "resource": object["resource"], "subresource": object["subresource"],
        "namespace": object["namespace"], "name": object["name"],
    })
}
