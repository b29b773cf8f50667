//! Asks a fresh connection to become a link.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, HOST, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use service_kit::tasks::Tasks;
use thiserror::Error;
use tunnel_protocol::handshake::{Answer, Hello, Refusal, UPGRADE_TOKEN};
use tunnel_protocol::limits::HANDSHAKE_PATH;
use tunnel_protocol::token::Token;

use crate::dial::Connection;

/// As much of a refusal's message as is shown, characters.
const WORDS: usize = 500;

/// As much of a refusal's body as is read for its message, bytes.
const MESSAGE: usize = 16 * 1024;

/// The server's own word that trying again is pointless.
#[derive(Clone, Debug, Error)]
#[error("the server refuses this connector: {message}")]
pub struct RefusedForGood {
    message: String,
}

/// Why there is no link this time.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    #[error(transparent)]
    ForGood(#[from] RefusedForGood),
    #[error("the server asks to come back later: {message}")]
    Later {
        message: String,
        after: Option<Duration>,
    },
    #[error(
        "something between here and the server answered {status} to the handshake, not the tunnel-server itself: \
         check the address, and that proxies and load balancers pass HTTP upgrades"
    )]
    Stranger { status: StatusCode },
    #[error("the connection ended during the handshake: {0}")]
    Broken(#[from] hyper::Error),
}

/// Does the handshake. The connection that comes back is ready for HTTP/2.
pub(crate) async fn shake_hands(
    connection: Connection,
    authority: &str,
    token: &Token,
    hello: &Hello,
) -> Result<Upgraded, HandshakeError> {
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await?;
    let tasks = Tasks::new();
    tasks.spawner().spawn(async move {
        if let Err(error) = driver.with_upgrades().await {
            tracing::debug!(
                error = http_relay::body::error_chain(&error),
                "the handshake's connection ended"
            );
        }
    });
    let mut response = sender
        .send_request(request(authority, token, hello))
        .await?;
    match Answer::read(response.status(), response.headers()) {
        Answer::Accepted => Ok(hyper::upgrade::on(&mut response).await?),
        Answer::Refused(refusal) => Err(refused(refusal, response).await),
        Answer::Stranger(status) => Err(HandshakeError::Stranger { status }),
    }
}

fn request(authority: &str, token: &Token, hello: &Hello) -> Request<Empty<Bytes>> {
    let mut headers = HeaderMap::new();
    hello.write(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(UPGRADE_TOKEN));
    for (name, text) in [
        (HOST, authority.to_owned()),
        (AUTHORIZATION, format!("Bearer {}", token.expose())),
    ] {
        // Both were checked: a host of a URL, a token of base32.
        if let Ok(mut value) = HeaderValue::try_from(text) {
            value.set_sensitive(name == AUTHORIZATION);
            headers.insert(name, value);
        }
    }
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = http::Uri::from_static(HANDSHAKE_PATH);
    *request.headers_mut() = headers;
    request
}

/// What a server says, as far as a person should see it: it may be none of ours.
fn words(message: &str) -> String {
    let shown = message.chars().filter(|c| !c.is_control());
    shown.take(WORDS).collect()
}

async fn refused(refusal: Refusal, response: Response<Incoming>) -> HandshakeError {
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MESSAGE).collect().await;
    let message = body
        .ok()
        .and_then(|body| serde_json::from_slice::<serde_json::Value>(&body.to_bytes()).ok())
        .and_then(|status| Some(words(status.get("message")?.as_str()?)))
        .unwrap_or_else(|| refusal.code().to_owned());
    if refusal.is_final() {
        HandshakeError::ForGood(RefusedForGood { message })
    } else {
        HandshakeError::Later {
            message,
            after: after.map(Duration::from_secs),
        }
    }
}
