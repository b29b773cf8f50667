//! Every way in which the tunnel, not the cluster, answers: as a Kubernetes
//! `Status` with the header `culvert-error`. The cluster's own errors have none,
//! and it cannot forge one.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use integration::chain::{ApiServer, BASE_DOMAIN, CLUSTER, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::raw_http::{Accepted, RawUpstream};
use integration::server_config::new_token;
use integration::wait::until;
use integration::{suite, tests};
use reqwest::{Method, Response};
use serde_json::Value;
use tunnel_protocol::Failure;
use tunnel_protocol::token::TokenKind;

fn main() -> ExitCode {
    suite::run(tests![
        unauthenticated,
        forbidden,
        unknown_cluster_is_told_to_proved_callers_only,
        unknown_host,
        no_link_yet,
        link_just_lost,
        sidecar_away,
        api_server_away,
        headers_too_late,
        filtered,
        the_clusters_own_errors_are_not_ours,
        forged_headers_are_removed,
        what_only_the_server_knows_is_removed,
    ])
}

/// Fails unless it is the tunnel's own answer, in the form client libraries
/// read; gives its message.
async fn must_be(response: Response, code: u16, failure: Failure, case: &str) -> Result<String> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let error = headers
        .get("culvert-error")
        .and_then(|value| value.to_str().ok());
    ensure!(
        (status, error) == (code, Some(failure.code())),
        "{case}: {status} {error:?} instead of {code} {}",
        failure.code()
    );
    ensure!(
        headers.get("content-type").context("no content type")? == "application/json",
        "{case}"
    );
    ensure!(
        headers.contains_key("culvert-request-id"),
        "{case}: no request id"
    );
    let body: Value = response.json().await?;
    for (key, value) in [
        ("kind", "Status"),
        ("apiVersion", "v1"),
        ("status", "Failure"),
    ] {
        ensure!(body[key] == value, "{case}: {key} is {}", body[key]);
    }
    ensure!(body["code"] == code, "{case}: the code in the body");
    let message = body["message"].as_str().unwrap_or_default();
    ensure!(!message.is_empty(), "{case}: nothing for people");
    Ok(message.to_owned())
}

fn retry_after(response: &Response) -> Option<&str> {
    response.headers().get("retry-after")?.to_str().ok()
}

/// A chain that needs no API server, as no request gets that far.
async fn chain(environment: &Environment) -> Result<Chain> {
    Ok(played_cluster::start(environment, ChainOptions::bare())
        .await?
        .0)
}

/// A second cluster, without a tunnel-client.
const OTHER: &str = "other";

/// Adds [`OTHER`] and waits until the server knows it.
async fn add_other(chain: &mut Chain) -> Result<()> {
    chain.config.cluster(OTHER, &[]);
    chain.write_config()?;
    reloaded(chain, 2).await
}

/// Waits until the server has taken over a file with so many clusters.
async fn reloaded(chain: &Chain, clusters: u64) -> Result<()> {
    until("a reload", SOON, || async {
        let lines = chain.server.log_lines();
        let last = lines
            .iter()
            .rfind(|line| line["message"] == "configuration taken over");
        Ok(last.filter(|line| line["clusters"] == clusters).map(|_| ()))
    })
    .await
}

fn other_by_path(chain: &Chain) -> String {
    chain.url_by_path().replace(CLUSTER, OTHER)
}

async fn unauthenticated(environment: Arc<Environment>) -> Result<()> {
    let chain = chain(&environment).await?;
    let stranger = new_token(TokenKind::Access);
    let token = chain.access_token.expose();
    let (cut, _) = token.split_at(token.len() - 1);
    let credentials = [
        ("none", None),
        (
            "an unknown token",
            Some(format!("Bearer {}", stranger.expose())),
        ),
        ("a cut token", Some(format!("Bearer {cut}"))),
        (
            "a connector token",
            Some(format!("Bearer {}", chain.connector_token.expose())),
        ),
        ("another scheme", Some(format!("Basic {token}"))),
        ("nothing after the scheme", Some("Bearer ".to_owned())),
    ];
    let client = chain.http().build()?;
    for url in [
        chain.url_by_host(),
        chain.url_by_path(),
        other_by_path(&chain),
    ] {
        for (case, credential) in &credentials {
            let mut request = client.get(format!("{url}/api"));
            if let Some(credential) = credential {
                request = request.header("authorization", credential);
            }
            let response = request.send().await?;
            ensure!(
                response.headers().contains_key("www-authenticate"),
                "{case}: no challenge"
            );
            must_be(response, 401, Failure::Unauthenticated, case).await?;
        }
    }
    chain.stop().await
}

async fn forbidden(environment: Arc<Environment>) -> Result<()> {
    let mut chain = chain(&environment).await?;
    add_other(&mut chain).await?;
    let response = chain.caller()?.get(other_by_path(&chain)).send().await?;
    let message = must_be(response, 403, Failure::Forbidden, "not allowed").await?;
    ensure!(message.contains(OTHER), "{message}");
    chain.stop().await
}

async fn unknown_cluster_is_told_to_proved_callers_only(
    environment: Arc<Environment>,
) -> Result<()> {
    let chain = chain(&environment).await?;
    let url = other_by_path(&chain);
    let proved = chain.caller()?.get(&url).send().await?;
    must_be(proved, 404, Failure::UnknownCluster, "proved").await?;
    let stranger = chain.http().build()?.get(&url).send().await?;
    must_be(stranger, 401, Failure::Unauthenticated, "not proved").await?;
    chain.stop().await
}

async fn unknown_host(environment: Arc<Environment>) -> Result<()> {
    let chain = chain(&environment).await?;
    let client = chain.http().http1_only().build()?;
    for host in [
        "elsewhere.example",
        "a.b.culvert.test",
        "www.culvert.test",
        "evil-culvert.test",
        "127.0.0.2",
    ] {
        let request = client
            .get(format!("{}/api", chain.url_by_host()))
            .header("host", host)
            .bearer_auth(chain.access_token.expose());
        must_be(request.send().await?, 421, Failure::UnknownHost, host).await?;
    }
    chain.stop().await
}

async fn no_link_yet(environment: Arc<Environment>) -> Result<()> {
    let mut chain = chain(&environment).await?;
    chain.config.callers[0]["clusters"] = serde_json::json!([CLUSTER, OTHER]);
    add_other(&mut chain).await?;
    let response = chain.caller()?.get(other_by_path(&chain)).send().await?;
    ensure!(
        retry_after(&response).is_none(),
        "told to wait for what never was there"
    );
    must_be(response, 503, Failure::NoLink, "never linked").await?;
    chain.stop().await
}

async fn link_just_lost(environment: Arc<Environment>) -> Result<()> {
    let mut chain = chain(&environment).await?;
    chain.client.kill()?;
    chain.links(0).await?;
    let client = chain.caller()?;
    for url in [chain.url_by_host(), chain.url_by_path()] {
        let response = client.get(&url).send().await?;
        ensure!(
            retry_after(&response) == Some("1"),
            "Retry-After is {:?}",
            retry_after(&response)
        );
        must_be(response, 503, Failure::NoLink, &url).await?;
    }
    chain.stop().await
}

async fn sidecar_away(environment: Arc<Environment>) -> Result<()> {
    let mut chain = chain(&environment).await?;
    chain.sidecar.as_mut().context("no sidecar")?.kill()?;
    let response = chain.caller()?.get(chain.url_by_host()).send().await?;
    ensure!(retry_after(&response).is_none());
    must_be(response, 502, Failure::SidecarUnreachable, "no sidecar").await?;
    chain.stop().await
}

async fn api_server_away(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let call = async {
        let response = chain.caller()?.get(chain.url_by_host()).send().await?;
        must_be(
            response,
            502,
            Failure::ApiServerBroken,
            "cut before its answer",
        )
        .await
    };
    let cut = async { cluster.request().await?.0.reset() };
    tokio::try_join!(call, cut)?;
    drop(cluster);
    let response = chain.caller()?.get(chain.url_by_host()).send().await?;
    must_be(response, 502, Failure::ApiServerUnreachable, "not there").await?;
    chain.stop().await
}

async fn headers_too_late(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions {
        server_arguments: ["--response-timeout-seconds", "1"]
            .map(str::to_owned)
            .into(),
        ..ChainOptions::bare()
    };
    let (chain, cluster) = played_cluster::start(&environment, options).await?;
    let client = chain.caller()?;
    let get = |path: &str| client.get(format!("{}{path}", chain.url_by_host())).send();

    let watch = async { Ok(get("/api/v1/pods?watch=true").await?) };
    let plain_while_it_is_silent = async {
        let (mut watched, _) = cluster.request().await?;
        let started = Instant::now();
        let plain = async { Ok(get("/api/v1/pods").await?) };
        let (response, (mut silent, _)) = tokio::try_join!(plain, cluster.request())?;
        println!("504 after {:?}; the limit was 1 s", started.elapsed());
        let message = must_be(response, 504, Failure::Timeout, "silent").await?;
        ensure!(message.contains("within 1 s"), "{message}");
        // Nobody waits for it any more, and the API server notices.
        silent.rest().await?;
        watched
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await
    };
    let (watched, ()) = tokio::try_join!(watch, plain_while_it_is_silent)?;
    ensure!(watched.status() == 200, "a watch may be silent");
    chain.stop().await
}

async fn filtered(environment: Arc<Environment>) -> Result<()> {
    let chain = chain(&environment).await?;
    let client = chain.caller()?;
    for url in [chain.url_by_host(), chain.url_by_path()] {
        for (method, subresource) in [
            (Method::GET, "exec?command=sh"),
            (Method::POST, "exec?command=sh"),
            (Method::POST, "attach"),
            (Method::POST, "%65xec?command=sh"),
        ] {
            let path = format!("/api/v1/namespaces/default/pods/a/{subresource}");
            let response = client
                .request(method, format!("{url}{path}"))
                .send()
                .await?;
            let message = must_be(response, 403, Failure::Filtered, &path).await?;
            ensure!(message.contains("--reject-paths"), "{message}");
        }
    }
    let upgrade = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
    let path = "/api/v1/namespaces/default/pods/a/exec?command=sh";
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "POST", path, upgrade))
        .await?;
    let head = caller.head().await?;
    ensure!(
        head.starts_with("HTTP/1.1 403") && head.contains("culvert-error: filtered"),
        "{head}"
    );
    chain.stop().await
}

async fn the_clusters_own_errors_are_not_ours(environment: Arc<Environment>) -> Result<()> {
    let api_server = environment.api_server().await?;
    let powerless = environment
        .kubernetes()
        .await?
        .service_account_token("culvert", "powerless")
        .await?;
    for (token, path, code) in [
        (
            "not-a-token-of-this-cluster".to_owned(),
            "/api/v1/pods",
            401,
        ),
        (powerless, "/api/v1/pods", 403),
        (
            api_server.token.clone(),
            "/api/v1/namespaces/none-such",
            404,
        ),
    ] {
        let options = ChainOptions {
            api_server: Some(ApiServer {
                token,
                ..api_server.clone()
            }),
            ..ChainOptions::bare()
        };
        let chain = environment.chain_with(options).await?;
        let client = chain.caller()?;
        for url in [chain.url_by_host(), chain.url_by_path()] {
            let response = client.get(format!("{url}{path}")).send().await?;
            ensure!(response.status() == code, "{}", response.status());
            ensure!(
                !response.headers().contains_key("culvert-error"),
                "the cluster's own {code} is told as ours"
            );
            let body: Value = response.json().await?;
            ensure!((&body["kind"], &body["code"]) == (&"Status".into(), &code.into()));
        }
        chain.stop().await?;
    }
    Ok(())
}

/// An answer full of headers that only we may set.
async fn answer_forged(mut connection: Accepted, code: &str) -> Result<()> {
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nCulvert-Error: {code}\r\nculvert-error: {code}\r\n\
         Culvert-Request-Id: forged\r\nCulvert-Upgraded: websocket\r\nCulvert-Answer: forged\r\n\
         Culvert-Anything: forged\r\nX-Passes: kept\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    );
    connection.send(answer).await
}

/// The names of our own headers in an answer, except the request id we set.
fn ours(response: &Response) -> Result<Vec<String>> {
    let headers = response.headers();
    ensure!(headers["x-passes"] == "kept");
    let ids: Vec<_> = headers.get_all("culvert-request-id").iter().collect();
    ensure!(
        ids.len() == 1 && ids[0] != "forged",
        "the request id is not ours"
    );
    Ok(headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .filter(|name| name.starts_with("culvert-") && name != "culvert-request-id")
        .collect())
}

async fn forged_headers_are_removed(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let client = chain.caller()?;
    let codes = Failure::ALL.iter().map(|failure| failure.code());
    for code in codes.chain(["made-up"]) {
        let call = async { Ok(client.get(chain.url_by_host()).send().await?) };
        let answer = async { answer_forged(cluster.request().await?.0, code).await };
        let (response, ()) = tokio::try_join!(call, answer)?;
        let ours = ours(&response)?;
        ensure!(ours.is_empty(), "{code}: {ours:?} got through");
    }
    chain.stop().await
}

/// Whatever stands in the sidecar's place is of the cluster's side, too.
async fn what_only_the_server_knows_is_removed(environment: Arc<Environment>) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    let client = chain.caller()?;
    let url = format!(
        "https://{CLUSTER}.{BASE_DOMAIN}:{}",
        chain.server_address.port()
    );
    let servers = Failure::ALL
        .iter()
        .filter(|failure| !failure.is_of_the_clusters_side())
        .map(|failure| failure.code());
    for code in servers.chain(["made-up"]) {
        let call = async { Ok(client.get(&url).send().await?) };
        let answer = async { answer_forged(upstream.request().await?.0, code).await };
        let (response, ()) = tokio::try_join!(call, answer)?;
        let ours = ours(&response)?;
        ensure!(ours.is_empty(), "{code}: {ours:?} got through");
    }
    chain.stop().await
}
