//! `--protect-namespaces` and `--reject-token-requests` in front of a real API
//! server, for a token that may do everything: what reaches the namespace without
//! the flags is refused with them, in every spelling that the API server
//! understands, and the rest of the cluster stays as it is.

mod sidecars;
mod spellings;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64;
use futures_util::{StreamExt, TryStreamExt};
use integration::chain::ChainOptions;
use integration::environment::Environment;
use integration::http1::Response;
use integration::{suite, tests};
use serde_json::{Value, json};
use sidecars::{OWN, Sidecar, refusal, text};
use tokio::sync::OnceCell;

/// Stands in the Secret, as a connector token would.
const MARK: &str = "the-connectors-own-token";

/// Requests at once: the watches among them take a second each.
const AT_ONCE: usize = 16;

fn main() -> ExitCode {
    suite::run(tests![
        what_reaches_the_namespace_is_refused,
        token_requests_are_refused_everywhere,
        what_cannot_be_judged_is_refused,
        the_rest_of_the_cluster_stays,
        no_spelling_reaches_the_secret,
        each_flag_alone,
        callers_are_told_which_flag,
        a_value_that_protects_nothing_is_refused,
    ])
}

/// What is in the cluster, made once.
async fn cluster(environment: &Environment) -> Result<()> {
    static MADE: OnceCell<()> = OnceCell::const_new();
    MADE.get_or_try_init(|| async {
        let open = Sidecar::open(environment).await?;
        for namespace in [OWN, "other"] {
            environment
                .kubernetes()
                .await?
                .create_namespace(namespace)
                .await?;
            for (path, object) in objects() {
                let path = format!("/api/v1/namespaces/{namespace}/{path}");
                let answer = open.ask("POST", &path, &object.to_string()).await?;
                let made = matches!(answer.status, 201 | 409);
                ensure!(made, "{path}: {} {}", answer.status, text(&answer));
            }
        }
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node" } });
        let answer = open.ask("POST", "/api/v1/nodes", &node.to_string()).await?;
        ensure!(answer.status == 201, "{}", text(&answer));
        Ok(())
    })
    .await
    .copied()
}

fn objects() -> Vec<(&'static str, Value)> {
    let object = |kind: &str, name: &str, more: (&str, Value)| {
        let mut object = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } });
        object[more.0] = more.1;
        object
    };
    let port = json!({ "ports": [{ "port": 80 }] });
    let containers = json!({ "containers": [{ "name": "c", "image": "i" }] });
    vec![
        (
            "serviceaccounts",
            object("ServiceAccount", "default", ("secrets", json!([]))),
        ),
        (
            "secrets",
            object("Secret", "token", ("stringData", json!({ "token": MARK }))),
        ),
        (
            "configmaps",
            object("ConfigMap", "settings", ("data", json!({ "a": "1" }))),
        ),
        ("services", object("Service", "service", ("spec", port))),
        ("pods", object("Pod", "pod", ("spec", containers))),
    ]
}

/// Whether an answer shows the Secret.
fn shows_the_secret(answer: &Response) -> bool {
    let encoded = BASE64.encode(MARK.as_bytes());
    answer
        .body
        .windows(encoded.len())
        .any(|window| window == encoded.as_bytes())
}

/// Methods, paths (with `NS` for the namespace) and bodies that do something in
/// it. Nothing is changed: whatever could is a dry run.
fn reaching() -> Vec<(&'static str, String, String)> {
    const DRY: &str = "?dryRun=All";
    let map =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "x" } });
    let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "generateName": "x" } });
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": OWN } });
    let paths = [
        ("GET", "/secrets/token", Value::Null),
        ("GET", "/secrets", Value::Null),
        ("GET", "/secrets/", Value::Null),
        ("GET", "/secrets?watch=true&timeoutSeconds=1", Value::Null),
        ("PATCH", "/secrets/token?dryRun=All", json!({ "data": {} })),
        ("DELETE", "/secrets/token?dryRun=All", Value::Null),
        ("DELETE", "/secrets?dryRun=All", Value::Null),
        ("GET", "/configmaps", Value::Null),
        ("POST", "/configmaps?dryRun=All", map),
        ("GET", "/pods/pod", Value::Null),
        ("GET", "/pods/pod/log", Value::Null),
        ("GET", "/pods/pod/exec?command=x&stdout=1", Value::Null),
        ("POST", "/pods/pod/exec?command=x&stdout=1", Value::Null),
        ("POST", "/pods/pod/attach?stdout=1", Value::Null),
        ("POST", "/pods/pod/portforward", Value::Null),
        ("GET", "/pods/pod:8002/proxy/metrics", Value::Null),
        (
            "PATCH",
            "/pods/pod/ephemeralcontainers?dryRun=All",
            json!({}),
        ),
        ("GET", "/services/service/proxy/", Value::Null),
        (
            "POST",
            "/serviceaccounts/default/token?dryRun=All",
            token_request(),
        ),
        ("GET", "/status", Value::Null),
        ("PUT", "/finalize?dryRun=All", namespace),
    ];
    let body = |value: Value| {
        if value.is_null() {
            String::new()
        } else {
            value.to_string()
        }
    };
    let core = paths
        .into_iter()
        .map(|(method, path, value)| (method, format!("/api/v1/namespaces/NS{path}"), body(value)));
    let leases = "/apis/coordination.k8s.io/v1/namespaces/NS/leases";
    let others = [
        (
            "GET",
            "/api/v1/watch/namespaces/NS/secrets?timeoutSeconds=1".to_owned(),
            String::new(),
        ),
        (
            "GET",
            "/api/v1/watch/namespaces/NS/secrets/token?timeoutSeconds=1".to_owned(),
            String::new(),
        ),
        (
            "PATCH",
            format!("/api/v1/namespaces/NS{DRY}"),
            "{}".to_owned(),
        ),
        (
            "DELETE",
            format!("/api/v1/namespaces/NS{DRY}"),
            String::new(),
        ),
        ("GET", leases.to_owned(), String::new()),
        ("POST", format!("{leases}{DRY}"), lease.to_string()),
        (
            "GET",
            "/apis/apps/v1/watch/namespaces/NS/deployments?timeoutSeconds=1".to_owned(),
            String::new(),
        ),
        // The kubelet's own paths: a node that is not there is the API server's word.
        (
            "GET",
            "/api/v1/nodes/node/proxy/exec/NS/pod/c?command=x".to_owned(),
            String::new(),
        ),
        (
            "POST",
            "/api/v1/nodes/node:10250/proxy/run/NS/pod/c".to_owned(),
            String::new(),
        ),
        (
            "GET",
            "/api/v1/nodes/https:node:10250/proxy/containerLogs/NS/pod/c".to_owned(),
            String::new(),
        ),
        (
            "POST",
            "/api/v1/nodes/node/proxy/portForward/NS/pod".to_owned(),
            String::new(),
        ),
        (
            "POST",
            "/api/v1/nodes/node/proxy/checkpoint/NS/pod/c".to_owned(),
            String::new(),
        ),
        (
            "GET",
            "/api/v1/nodes/node/proxy/logs/pods/NS_pod_0/c/0.log".to_owned(),
            String::new(),
        ),
        (
            "GET",
            "/api/v1/nodes/node/proxy/logs/containers/pod_NS_c-0.log".to_owned(),
            String::new(),
        ),
        (
            "GET",
            "/api/v1/nodes/node/proxy/logs/?query=/pods/NS_pod_0/c/0.log".to_owned(),
            String::new(),
        ),
        (
            "GET",
            "/logs/pods/NS_pod_0/c/0.log".to_owned(),
            String::new(),
        ),
    ];
    core.chain(others).collect()
}

fn token_request() -> Value {
    json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} })
}

/// Refused, by a message that names the flag.
fn must_name(answer: &Response, flag: &str, case: &str) -> Result<()> {
    ensure!(answer.status == 403, "{case}: {}", answer.status);
    ensure!(refusal(answer).as_deref() == Some("filtered"), "{case}");
    let body: Value = serde_json::from_slice(&answer.body)?;
    let message = body["message"].as_str().unwrap_or_default();
    ensure!(
        body["kind"] == "Status" && message.contains(flag),
        "{case}: {message}"
    );
    Ok(())
}

async fn what_reaches_the_namespace_is_refused(environment: Arc<Environment>) -> Result<()> {
    cluster(&environment).await?;
    let open = Sidecar::open(&environment).await?;
    let guarded = Sidecar::guarded(&environment).await?;
    for (method, path, body) in reaching() {
        let own = path.replace("NS", OWN);
        let case = format!("{method} {own}");
        let answer = open.ask(method, &own, &body).await?;
        ensure!(
            refusal(&answer).is_none(),
            "{case}: refused without the flag"
        );
        if !own.contains("/proxy/") && !own.contains("/pods/") {
            ensure!(
                answer.status < 300,
                "{case}: {} {}",
                answer.status,
                text(&answer)
            );
        }
        if own.contains("/secrets") && method == "GET" {
            ensure!(shows_the_secret(&answer), "{case}: {}", text(&answer));
        }
        let answer = guarded.ask(method, &own, &body).await?;
        let flag = if own.ends_with("/token?dryRun=All") && own.contains("serviceaccounts") {
            "--reject-token-requests"
        } else {
            "--protect-namespaces"
        };
        must_name(&answer, flag, &case)?;

        // The same elsewhere is the cluster's to answer.
        let other = path.replace("NS", "other");
        if !other.contains("serviceaccounts") {
            let answer = guarded
                .ask(method, &other, &body.replace(OWN, "other"))
                .await?;
            ensure!(
                refusal(&answer).is_none(),
                "{method} {other}: {}",
                text(&answer)
            );
        }
    }
    for path in [
        "/api/v1/secrets",
        "/api/v1/secrets/",
        "/api/v1/secrets?watch=true&timeoutSeconds=1",
        "/api/v1/secrets?fieldSelector=metadata.name%3Dtoken",
        "/api/v1/watch/secrets?timeoutSeconds=1",
    ] {
        let answer = open.ask("GET", path, "").await?;
        ensure!(shows_the_secret(&answer), "{path}: {}", text(&answer));
        must_name(
            &guarded.ask("GET", path, "").await?,
            "--protect-namespaces",
            path,
        )?;
    }
    Ok(())
}

async fn token_requests_are_refused_everywhere(environment: Arc<Environment>) -> Result<()> {
    cluster(&environment).await?;
    let open = Sidecar::open(&environment).await?;
    let guarded = Sidecar::guarded(&environment).await?;
    let body = token_request().to_string();
    for path in [
        "/api/v1/namespaces/other/serviceaccounts/default/token",
        "/api/v1/namespaces/other/serviceaccounts/default/token/",
        "/api/v1/namespaces/other/serviceaccounts/default/tok%65n",
        "/api/v1/namespaces/other/service%61ccounts/default/token?fieldManager=x",
    ] {
        let answer = open.ask("POST", path, &body).await?;
        ensure!(answer.status == 201, "{path}: {}", answer.status);
        let answer = guarded.ask("POST", path, &body).await?;
        must_name(&answer, "--reject-token-requests", path)?;
    }
    Ok(())
}

async fn what_cannot_be_judged_is_refused(environment: Arc<Environment>) -> Result<()> {
    cluster(&environment).await?;
    let guarded = Sidecar::guarded(&environment).await?;
    for path in [
        "/api/v1/namespaces//secrets",
        "/api/v1/namespaces/other/../gitlab-connector/secrets",
        "/api/v1/namespaces/other%2Fsecrets",
        "/api/v1/%2573ecrets",
        "//api/v1/secrets",
    ] {
        let answer = guarded.ask("GET", path, "").await?;
        ensure!(answer.status == 400, "{path}: {}", answer.status);
        ensure!(refusal(&answer).as_deref() == Some("bad-request"), "{path}");
        ensure!(text(&answer).contains("--protect-namespaces"), "{path}");
    }
    Ok(())
}

async fn the_rest_of_the_cluster_stays(environment: Arc<Environment>) -> Result<()> {
    cluster(&environment).await?;
    let guarded = Sidecar::guarded(&environment).await?;
    for path in [
        "/",
        "/api",
        "/apis",
        "/version",
        "/openapi/v3",
        "/readyz",
        "/api/v1/namespaces",
        "/api/v1/namespaces/gitlab-connector",
        "/api/v1/namespaces/other",
        "/api/v1/pods",
        "/api/v1/configmaps?watch=true&timeoutSeconds=1",
        "/api/v1/namespaces/other/secrets",
        "/api/v1/namespaces/other/secrets/token",
        "/api/v1/namespaces/other/secrets?watch=true&timeoutSeconds=1",
        "/api/v1/namespaces/other/serviceaccounts/default",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
        "/apis/apps/v1/deployments",
        "/api/v1/nodes/node",
    ] {
        let answer = guarded.ask("GET", path, "").await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            text(&answer)
        );
    }
    // What is behind a service is read by what is behind it.
    let path = "/api/v1/namespaces/other/services/service/proxy/a%2Fb//../x";
    let answer = guarded.ask("GET", path, "").await?;
    ensure!(refusal(&answer).is_none(), "{}", text(&answer));
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": OWN } });
    let maps = "/api/v1/namespaces/other/configmaps";
    let answer = guarded.ask("POST", maps, &map.to_string()).await?;
    ensure!(answer.status == 201, "{}", text(&answer));
    let one = format!("{maps}/{OWN}");
    for (method, body) in [
        ("PATCH", "{\"data\":{\"a\":\"b\"}}"),
        ("GET", ""),
        ("DELETE", ""),
    ] {
        let answer = guarded.ask(method, &one, body).await?;
        ensure!(answer.status == 200, "{method}: {}", text(&answer));
    }
    Ok(())
}

/// Whenever the API server shows the Secret to a sidecar without the flags, one
/// with them refuses the same bytes.
async fn no_spelling_reaches_the_secret(environment: Arc<Environment>) -> Result<()> {
    cluster(&environment).await?;
    let open = Sidecar::open(&environment).await?;
    let guarded = Sidecar::guarded(&environment).await?;
    let targets = spellings::all();
    let asked = targets.len();
    let asking = targets.into_iter().map(|target| {
        let (open, guarded) = (&open, &guarded);
        async move {
            let answer = open.ask("GET", &target, "").await?;
            match refusal(&answer).as_deref() {
                None => {}
                // An escape that is none, which Go refuses, too.
                Some("bad-request") => return Ok(0),
                Some(code) => bail!("{target}: {code} without the flags"),
            }
            if !shows_the_secret(&answer) {
                return Ok(0);
            }
            let answer = guarded.ask("GET", &target, "").await?;
            ensure!(refusal(&answer).is_some(), "{target} shows the Secret");
            ensure!(
                matches!(answer.status, 400 | 403),
                "{target}: {}",
                answer.status
            );
            Ok(1)
        }
    });
    let asking = futures_util::stream::iter(asking).buffer_unordered(AT_ONCE);
    let reached = asking.try_fold(0, async |sum, one| Ok(sum + one)).await?;
    println!("of {asked} spellings {reached} reached the Secret without the flags, none with them");
    ensure!(
        reached > asked / 20,
        "{reached} of {asked}: the spellings prove too little"
    );
    Ok(())
}

async fn each_flag_alone(environment: Arc<Environment>) -> Result<()> {
    cluster(&environment).await?;
    let token = "/api/v1/namespaces/other/serviceaccounts/default/token";
    let secret = format!("/api/v1/namespaces/{OWN}/secrets/token");
    let both = format!("--protect-namespaces=other,{OWN}");
    let namespaces = Sidecar::start(&environment, &[&both]).await?;
    let answer = namespaces.ask("GET", &secret, "").await?;
    must_name(&answer, "--protect-namespaces", &secret)?;
    let answer = namespaces
        .ask("POST", token, &token_request().to_string())
        .await?;
    must_name(&answer, "--protect-namespaces", token)?;

    let tokens = Sidecar::start(&environment, &["--reject-token-requests"]).await?;
    ensure!(shows_the_secret(&tokens.ask("GET", &secret, "").await?));
    let answer = tokens
        .ask("POST", token, &token_request().to_string())
        .await?;
    must_name(&answer, "--reject-token-requests", token)
}

async fn callers_are_told_which_flag(environment: Arc<Environment>) -> Result<()> {
    cluster(&environment).await?;
    let options = ChainOptions {
        sidecar_arguments: vec![format!("--protect-namespaces={OWN}")],
        ..environment.options().await?
    };
    let chain = environment.chain_with(options).await?;
    let url = format!(
        "{}/api/v1/namespaces/{OWN}/secrets/token",
        chain.url_by_path()
    );
    let answer = chain.caller()?.get(url).send().await?;
    ensure!(answer.status() == 403, "{}", answer.status());
    ensure!(answer.headers().get("culvert-error").context("no code")? == "filtered");
    ensure!(answer.text().await?.contains("--protect-namespaces"));
    chain.stop().await
}

/// As when the variable in the manifest is not set.
async fn a_value_that_protects_nothing_is_refused(environment: Arc<Environment>) -> Result<()> {
    for value in ["", "$(POD_NAMESPACE)", "Gitlab", "a,,b"] {
        let flag = format!("--protect-namespaces={value}");
        let started = Sidecar::start(&environment, &[&flag]).await;
        let error = started.err().context("it started")?;
        let said = format!("{error:#}");
        ensure!(said.contains("--protect-namespaces: "), "{value}: {said}");
    }
    Ok(())
}
