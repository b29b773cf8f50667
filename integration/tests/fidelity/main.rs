//! What the caller gets is what the API server said in that same exchange:
//! status, body bytes, end-to-end headers by name and in order. Over HTTP/1.1
//! and over HTTP/2.

mod caller;
mod compare;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use caller::Protocol::{Http1, Http2};
use caller::{Call, Protocol};
use compare::{RecordedChain, header};
use integration::environment::Environment;
use integration::{http1, suite, tests};
use local_kubernetes::Options;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let options = Options {
        // With it, old versions would be served from memory for a while.
        api_server_arguments: vec!["--watch-cache=false".to_owned()],
        ..Options::default()
    };
    suite::run_with(
        options,
        tests![
            reads,
            writes,
            refused_requests,
            conflicts,
            unauthorized,
            forbidden,
            gone,
            too_many_requests,
            unavailable_api,
            warnings,
            not_modified,
            redirect,
            head,
            gzip,
        ],
    )
}

fn get(path: &str) -> Call<'_> {
    Call {
        method: "GET",
        path,
        ..Call::default()
    }
}

fn with_json<'a>(method: &'a str, path: &'a str, body: &Value) -> Call<'a> {
    Call {
        method,
        path,
        headers: vec![("content-type", "application/json")],
        body: body.to_string().into_bytes(),
    }
}

fn config_map(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// A new namespace's config maps, for each protocol.
async fn config_maps(environment: &Environment, test: &str) -> Result<[(Protocol, String); 2]> {
    let path = |protocol| format!("/api/v1/namespaces/{}/configmaps", name(test, protocol));
    for protocol in [Http1, Http2] {
        let namespace = name(test, protocol);
        let kubernetes = environment.kubernetes().await?;
        kubernetes.create_namespace(&namespace).await?;
    }
    Ok([(Http1, path(Http1)), (Http2, path(Http2))])
}

fn name(test: &str, protocol: Protocol) -> String {
    format!("{test}-{protocol:?}").to_lowercase()
}

fn json_of(response: &http1::Response) -> Result<Value> {
    Ok(serde_json::from_slice(&response.body)?)
}

async fn reads(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let protobuf = "application/vnd.kubernetes.protobuf";
    for protocol in [Http1, Http2] {
        let namespace = get("/api/v1/namespaces/kube-system");
        let (_, answer) = chain.call(protocol, 200, namespace).await?;
        // Else nothing would have been compared of what matters most.
        for name in [
            "audit-id",
            "x-kubernetes-pf-flowschema-uid",
            "x-kubernetes-pf-prioritylevel-uid",
            "cache-control",
            "date",
        ] {
            header(&answer, name)?;
        }
        for accept in [table, protobuf, "application/yaml"] {
            let mut list = get("/api/v1/namespaces?limit=2");
            list.headers.push(("accept", accept));
            let (_, answer) = chain.call(protocol, 200, list).await?;
            let given = header(&answer, "content-type")?;
            ensure!(given.starts_with(&accept[..16]), "{given}");
        }
        for path in [
            "/version",
            "/readyz?verbose",
            "/metrics",
            "/openapi/v2",
            "/apis",
        ] {
            chain.call(protocol, 200, get(path)).await?;
        }
    }
    chain.stop().await
}

async fn writes(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for (protocol, path) in config_maps(&environment, "writes").await? {
        let item = format!("{path}/one");
        let mut map = config_map("one", json!({ "a": "1" }));
        chain
            .call(protocol, 201, with_json("POST", &path, &map))
            .await?;
        map["data"]["a"] = "2".into();
        chain
            .call(protocol, 200, with_json("PUT", &item, &map))
            .await?;
        let patch = json!({ "metadata": { "finalizers": ["culvert.test/kept"] } });
        let mut patch = with_json("PATCH", &item, &patch);
        patch.headers = vec![("content-type", "application/merge-patch+json")];
        chain.call(protocol, 200, patch).await?;
        // Kept by its finalizer: accepted, not done.
        let options =
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "orphanDependents": false });
        chain
            .call(protocol, 202, with_json("DELETE", &item, &options))
            .await?;
    }
    chain.stop().await
}

async fn refused_requests(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for (protocol, path) in config_maps(&environment, "refused").await? {
        let missing = format!("{path}/nothing");
        chain.call(protocol, 404, get(&missing)).await?;
        chain.call(protocol, 404, get("/no/such/path")).await?;
        let delete = Call {
            method: "DELETE",
            ..get("/version")
        };
        chain.call(protocol, 405, delete).await?;
        let mut image = get(&path);
        image.headers.push(("accept", "image/png"));
        chain.call(protocol, 406, image).await?;

        let good = config_map("one", json!({}));
        let mut text = with_json("POST", &path, &good);
        text.headers = vec![("content-type", "text/plain")];
        chain.call(protocol, 415, text).await?;
        let mut broken = with_json("POST", &path, &good);
        broken.body.truncate(10);
        chain.call(protocol, 400, broken).await?;
        let invalid = config_map("one", json!({ "no good": "1" }));
        chain
            .call(protocol, 422, with_json("POST", &path, &invalid))
            .await?;
        let large = config_map("one", json!({ "a": "x".repeat(3 * 1024 * 1024 + 1) }));
        chain
            .call(protocol, 413, with_json("POST", &path, &large))
            .await?;
    }
    chain.stop().await
}

async fn conflicts(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for (protocol, path) in config_maps(&environment, "conflicts").await? {
        let create = with_json("POST", &path, &config_map("one", json!({})));
        let (_, first) = chain.call(protocol, 201, create.clone()).await?;
        let (_, exists) = chain.call(protocol, 409, create).await?;
        ensure!(json_of(&exists)?["reason"] == "AlreadyExists");

        let item = format!("{path}/one");
        let mut stale = json_of(&first)?;
        stale["data"] = json!({ "a": "1" });
        chain
            .call(protocol, 200, with_json("PUT", &item, &stale))
            .await?;
        stale["data"] = json!({ "a": "2" });
        let (_, conflict) = chain
            .call(protocol, 409, with_json("PUT", &item, &stale))
            .await?;
        ensure!(json_of(&conflict)?["reason"] == "Conflict");
    }
    chain.stop().await
}

async fn unauthorized(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::with_token(&environment, "no-token-of-this-cluster").await?;
    for protocol in [Http1, Http2] {
        let (_, answer) = chain.call(protocol, 401, get("/api/v1/namespaces")).await?;
        ensure!(json_of(&answer)?["reason"] == "Unauthorized");
    }
    chain.stop().await
}

async fn forbidden(environment: Arc<Environment>) -> Result<()> {
    let kubernetes = environment.kubernetes().await?;
    kubernetes.create_namespace("forbidden").await?;
    let token = kubernetes
        .service_account_token("forbidden", "nobody")
        .await?;
    let chain = RecordedChain::with_token(&environment, &token).await?;
    for protocol in [Http1, Http2] {
        let (_, answer) = chain.call(protocol, 403, get("/api/v1/secrets")).await?;
        let message = json_of(&answer)?["message"].to_string();
        ensure!(
            message.contains("system:serviceaccount:forbidden:nobody"),
            "{message}"
        );
    }
    chain.stop().await
}

async fn gone(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for (protocol, path) in config_maps(&environment, "gone").await? {
        let create = with_json("POST", &path, &config_map("one", json!({})));
        let (_, created) = chain.call(protocol, 201, create).await?;
        let created = json_of(&created)?;
        let version = created["metadata"]["resourceVersion"]
            .as_str()
            .context("no version")?;
        environment.kubernetes().await?.compact_etcd().await?;
        let old = format!("{path}?resourceVersionMatch=Exact&resourceVersion={version}");
        let (_, answer) = chain.call(protocol, 410, get(&old)).await?;
        ensure!(json_of(&answer)?["reason"] == "Expired");
    }
    chain.stop().await
}

/// A running pod is not evicted before its budget's status was worked out, which
/// nobody does here.
async fn too_many_requests(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    let kubernetes = environment.kubernetes().await?;
    for protocol in [Http1, Http2] {
        let namespace = name("evicted", protocol);
        kubernetes.create_namespace(&namespace).await?;
        // A pod needs its namespace's own account.
        kubernetes
            .service_account_token(&namespace, "default")
            .await?;
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "web", "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": "registry.test/web:1" }] },
        });
        chain
            .call(protocol, 201, with_json("POST", &pods, &pod))
            .await?;
        let status_path = format!("{pods}/web/status");
        let running = json!({ "status": { "phase": "Running" } });
        let mut running = with_json("PATCH", &status_path, &running);
        running.headers = vec![("content-type", "application/merge-patch+json")];
        chain.call(protocol, 200, running).await?;
        let budgets = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } },
        });
        chain
            .call(protocol, 201, with_json("POST", &budgets, &budget))
            .await?;

        let path = format!("{pods}/web/eviction");
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": "web", "namespace": namespace },
        });
        let (_, answer) = chain
            .call(protocol, 429, with_json("POST", &path, &eviction))
            .await?;
        header(&answer, "retry-after")?;
    }
    chain.stop().await
}

/// The cluster's own 503 is not the tunnel's: no header of ours, no retry of ours.
async fn unavailable_api(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": "v1.nowhere.test" },
        "spec": {
            "group": "nowhere.test", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "insecureSkipTLSVerify": true,
            "service": { "namespace": "nowhere", "name": "nothing" },
        },
    });
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    chain
        .call(Http1, 201, with_json("POST", services, &service))
        .await?;
    let path = "/apis/nowhere.test/v1/things";
    integration::wait::until("the API's group", integration::chain::SOON, || async {
        Ok(chain.call(Http1, 503, get(path)).await.ok())
    })
    .await?;
    chain.call(Http2, 503, get(path)).await?;
    chain.stop().await
}

async fn warnings(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for (protocol, path) in config_maps(&environment, "warnings").await? {
        let (_, answer) = chain
            .call(protocol, 200, get("/api/v1/componentstatuses"))
            .await?;
        ensure!(header(&answer, "warning")?.contains("is deprecated"));

        let mut map = config_map("one", json!({}));
        (map["first"], map["second"]) = (1.into(), 2.into());
        let path = format!("{path}?fieldValidation=Warn");
        let (_, answer) = chain
            .call(protocol, 201, with_json("POST", &path, &map))
            .await?;
        let warnings = http1::values(&answer.headers, "warning").count();
        ensure!(warnings == 2, "{warnings} warnings, not one for each field");
    }
    chain.stop().await
}

async fn not_modified(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for protocol in [Http1, Http2] {
        let schema = get("/openapi/v3/apis/apps/v1");
        let (_, answer) = chain.call(protocol, 200, schema.clone()).await?;
        let mut again = schema;
        again
            .headers
            .push(("if-none-match", header(&answer, "etag")?));
        let (_, answer) = chain.call(protocol, 304, again).await?;
        header(&answer, "etag")?;
    }
    chain.stop().await
}

async fn redirect(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for protocol in [Http1, Http2] {
        let old = get("/openapi/v3/apis/apps/v1?hash=OLD");
        let (_, answer) = chain.call(protocol, 301, old).await?;
        ensure!(header(&answer, "location")?.starts_with("/openapi/v3/apis/apps/v1?hash="));
    }
    chain.stop().await
}

async fn head(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for protocol in [Http1, Http2] {
        for (path, status) in [
            ("/readyz", 200),
            ("/openapi/v3/apis/apps/v1", 200),
            ("/no/such/path", 404),
        ] {
            let head = Call {
                method: "HEAD",
                ..get(path)
            };
            let (request, answer) = chain.call(protocol, status, head).await?;
            ensure!(request.method == "HEAD", "{} was asked", request.method);
            header(&answer, "content-length")?;
        }
    }
    chain.stop().await
}

/// The API server compresses what is larger than 128 KiB for whom takes it, and
/// nobody on the way takes it apart.
async fn gzip(environment: Arc<Environment>) -> Result<()> {
    let chain = RecordedChain::start(&environment).await?;
    for (protocol, path) in config_maps(&environment, "gzip").await? {
        let map = config_map("large", json!({ "a": "compressible ".repeat(40_000) }));
        let create = with_json("POST", &path, &map);
        chain.call(protocol, 201, create).await?;
        let mut list = get(&path);
        let (_, plain) = chain.call(protocol, 200, list.clone()).await?;
        ensure!(http1::values(&plain.headers, "content-encoding").count() == 0);

        list.headers.push(("accept-encoding", "gzip"));
        let (request, packed) = chain.call(protocol, 200, list).await?;
        let asked = http1::values(&request.headers, "accept-encoding");
        ensure!(asked.eq([b"gzip"]), "the API server was asked for another");
        ensure!(header(&packed, "content-encoding")? == "gzip");
        ensure!(packed.body.starts_with(&[0x1f, 0x8b]), "not gzip's magic");
        ensure!(packed.body.len() * 10 < plain.body.len());
    }
    chain.stop().await
}
