//! What is behind this end of the tunnel, asked once: the sidecar, the API server, and
//! who we are there.

use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use http_relay::RelayBody;
use http_relay::body::pass;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::steps::{Step, Steps, words};
use crate::upstream::Upstream;

/// For each question: the API server may have to ask others.
const ANSWER: Duration = Duration::from_secs(10);
/// As much of an answer as is read, bytes.
const LONGEST: usize = 256 * 1024;

const NAME: &str = concat!("tunnel-client/", env!("CARGO_PKG_VERSION"));
const VERSION: &str = "/version";
/// As `kubectl auth whoami` asks.
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Asks all, and tells the steps; an error is at the last one of them.
pub(crate) async fn look(upstream: &Upstream, steps: &Steps) -> Result<(), String> {
    ask_sidecar(upstream, ANSWER, steps).await?;
    ask_api_server(upstream, steps).await
}

/// What the sidecar answers itself.
pub(crate) async fn ask_sidecar(
    upstream: &Upstream,
    within: Duration,
    steps: &Steps,
) -> Result<(), String> {
    steps.begins(Step::Sidecar);
    let authority = upstream.authority();
    let answered = timeout(within, upstream.send(question())).await;
    let answered = answered.map_err(|_| silent(upstream, within))?;
    answered.map_err(|error| error.to_string())?;
    steps.done(Step::Sidecar, format!("{authority} answers"));
    Ok(())
}

/// Behind the sidecar.
pub(crate) async fn ask_api_server(upstream: &Upstream, steps: &Steps) -> Result<(), String> {
    steps.begins(Step::ApiServer);
    let (status, version) = ask(upstream, get(VERSION)).await?;
    let git_version = version["gitVersion"].as_str();
    let Some(git_version) = git_version.filter(|_| status.is_success()) else {
        return Err(format!(
            "the answer to the question for the API server's version is {status}{}",
            message(&version)
        ));
    };
    steps.done(Step::ApiServer, format!("Kubernetes {git_version}"));
    steps.begins(Step::Identity);
    let (status, review) = ask(upstream, who_am_i()).await?;
    let user = &review["status"]["userInfo"];
    match user["username"].as_str() {
        Some(name) => steps.done(Step::Identity, format!("{name}{}", groups(user))),
        None if status == StatusCode::UNAUTHORIZED => {
            return Err(format!(
                "the API server does not take the sidecar's credential{}: check the pod's service \
                 account and its token",
                message(&review)
            ));
        }
        // Kubernetes before 1.28, or a rule against it: nothing that a caller needs.
        None => steps.done(
            Step::Identity,
            format!("the API server does not tell ({status})"),
        ),
    }
    Ok(())
}

fn silent(upstream: &Upstream, within: Duration) -> String {
    let (authority, within) = (upstream.authority(), within.as_secs());
    format!("{authority} does not answer within {within} s")
}

fn groups(user: &Value) -> String {
    let groups = user["groups"].as_array();
    let groups: Vec<_> = groups
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match groups.is_empty() {
        true => String::new(),
        false => format!(", of {}", groups.join(", ")),
    }
}

/// What the sidecar answers itself.
fn question() -> Request<http_relay::RelayBody> {
    let mut request = Request::new(http_relay::body::empty());
    *request.method_mut() = Method::OPTIONS;
    *request.uri_mut() = Uri::from_static("*");
    // Kept open it would hold one of the sidecar's places.
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    request
}

fn get(path: &'static str) -> Request<RelayBody> {
    let mut request = Request::new(http_relay::body::empty());
    *request.uri_mut() = Uri::from_static(path);
    request
}

fn who_am_i() -> Request<RelayBody> {
    let review = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let mut request = Request::new(pass(Full::from(review.to_string()).map_err(|e| match e {})));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(WHO_AM_I);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

/// The answer's status and its body, where that is JSON.
async fn ask(
    upstream: &Upstream,
    mut request: Request<RelayBody>,
) -> Result<(StatusCode, Value), String> {
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    // For the API server's audit log.
    headers.insert(USER_AGENT, HeaderValue::from_static(NAME));
    let answered = async {
        let response = upstream.send(request).await;
        let response = response.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| format!("the answer broke off: {error}"))?;
        Ok((
            status,
            serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
        ))
    };
    let answered = timeout(ANSWER, answered).await;
    answered.unwrap_or_else(|_| Err(silent(upstream, ANSWER)))
}

/// A `Status` object's.
fn message(status: &Value) -> String {
    let message = status["message"].as_str().map(words);
    message.map_or(String::new(), |message| format!(": {message}"))
}
