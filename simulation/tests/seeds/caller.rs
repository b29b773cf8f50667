//! A platform that calls the cluster by way of either replica.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rand::seq::IndexedRandom;
use service_kit::tasks::Tasks;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

use crate::ledger::{Ask, Outcome, pattern};
use crate::stage::{self, SERVER_PORT, SERVERS, Stage, between};
use crate::upstream;

/// Far above what is waited for anywhere.
const PATIENCE: Duration = Duration::from_secs(90);
const METHODS: [Method; 4] = [Method::GET, Method::GET, Method::POST, Method::PUT];

/// Calls until nobody wants to know any more; what is open then goes on.
pub(crate) async fn run(stage: Stage) -> turmoil::Result {
    let tasks = Tasks::new();
    while !stage.ledger.is_closed() {
        sleep(between(50, stage.choices.pause)).await;
        for _ in 0..rand::random_range(1..=3) {
            let Some(server) = stage.balancer.any() else {
                continue;
            };
            let method = METHODS.choose(&mut rand::rng()).unwrap().clone();
            let call = call(stage.clone(), method, server);
            tasks.spawner().spawn(call);
        }
    }
    tasks.ended().await;
    Ok(())
}

async fn call(stage: Stage, method: Method, server: usize) {
    let now = || turmoil::sim_elapsed().unwrap_or_default();
    let id = stage.ledger.begin(method.clone(), server, now());
    let ask = Ask::draw(id, method != Method::GET);
    let to = SERVERS[server];
    stage
        .trace
        .tell(format_args!("#{id} {method} to {to}: {}", ask.path()));
    let cancel_after = match rand::random_bool(0.1) {
        true => between(0, 3_000),
        false => Duration::MAX,
    };
    let outcome = tokio::select! {
        outcome = timeout(PATIENCE, answered(&stage, &ask, method, server)) => {
            outcome.unwrap_or(Outcome::Late)
        }
        () = sleep(cancel_after) => Outcome::Cancelled,
    };
    stage.trace.tell(format_args!("#{id} {outcome}"));
    stage.ledger.end(id, now(), outcome);
}

async fn answered(stage: &Stage, ask: &Ask, method: Method, server: usize) -> Outcome {
    let stream = match TcpStream::connect((SERVERS[server], SERVER_PORT)).await {
        Ok(stream) => stream,
        Err(_) => {
            // A load balancer goes on to the other one.
            let other = 1 - server;
            stage.ledger.goes_to(ask.id, other);
            match TcpStream::connect((SERVERS[other], SERVER_PORT)).await {
                Ok(stream) => stream,
                Err(_) => return Outcome::NotSent,
            }
        }
    };
    let tasks = Tasks::new();
    match exchange(stage, ask, method, stream, &tasks).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::NoAnswer(error.to_string()),
    }
}

async fn exchange(
    stage: &Stage,
    ask: &Ask,
    method: Method,
    stream: TcpStream,
    tasks: &Tasks,
) -> Result<Outcome, hyper::Error> {
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tasks.spawner().spawn(async move { drop(driver.await) });
    let response = sender.send_request(request(stage, ask, method)).await?;
    let status = response.status();
    let code = response
        .headers()
        .get(tunnel_protocol::header::ERROR)
        .cloned();
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(Outcome::Cut(error.to_string())),
    };
    if !status.is_success() {
        let code = code.as_ref().and_then(|code| code.to_str().ok());
        let code = code.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        return Ok(Outcome::Failed(format!("{status} {code} {body}")));
    }
    if body != pattern(ask.id, ask.size) {
        stage.ledger.fault(format!(
            "#{}: of its answer {} of {} bytes came, as if they were all",
            ask.id,
            body.len(),
            ask.size
        ));
    }
    Ok(Outcome::Whole)
}

fn request(stage: &Stage, ask: &Ask, method: Method) -> Request<upstream::Body> {
    let has_body = method != Method::GET;
    let path = format!("/clusters/{}{}", stage::CLUSTER, ask.path());
    let body = upstream::body(ask.id, ask.upload, ask.pieces, ask.pause / 4);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static(stage::DOMAIN));
    let bearer = format!("Bearer {}", stage.access_token.expose());
    headers.insert(AUTHORIZATION, HeaderValue::try_from(bearer).unwrap());
    if has_body && ask.length_is_said || ask.upload == 0 {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(ask.upload));
    }
    request
}
