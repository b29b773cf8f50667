//! Asks a fresh connection to become a link.

use std::time::Duration;

use http::header::{AUTHORIZATION, HOST, LOCATION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use http_relay::body::error_chain;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use service_kit::tasks::Tasks;
use service_kit::websocket::{Role, bytes_in_messages, derive_accept_key, generate_key};
use thiserror::Error;
use tokio_util::either::Either;
use tunnel_protocol::carrier::Carrier;
use tunnel_protocol::handshake::{Answer, Hello, Refusal};
use tunnel_protocol::token::Token;

use crate::dial::{Connection, DialError, Duplex};
use crate::steps::{Step, Steps, words};
use crate::stranger::Stranger;
use crate::tls_fault::TlsFault;

/// What HTTP/2 is spoken on.
pub(crate) type Carried = Either<TokioIo<Upgraded>, Box<dyn Duplex>>;

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
    #[error("something on the way has removed the request to upgrade")]
    NoUpgrade,
    #[error("this replica of the server has a link of ours already")]
    Linked,
    #[error("the server asks to come back later: {message}")]
    Later {
        message: String,
        after: Option<Duration>,
    },
    /// Not the tunnel-server's own word.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// Not followed yet.
    #[error("answered with a redirect")]
    Redirected { location: String },
    #[error(
        "answered with a redirect to {to}, where no token is sent: a captive portal or a single \
         sign-on page may have answered; have tunnel-client excepted from it, or give in --server \
         where tunnel-server is"
    )]
    LedAway { to: String },
    #[error("answered with more than {0} redirects, one after the other: check --server")]
    Redirects(usize),
    /// To go where a redirect led.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// What the server says of TLS only once it is asked something.
    #[error("TLS: {0}")]
    Tls(TlsFault),
    #[error("the connection ended during the handshake: {}", error_chain(.0))]
    Broken(hyper::Error),
}

impl From<hyper::Error> for HandshakeError {
    fn from(error: hyper::Error) -> Self {
        match TlsFault::among(&error) {
            Some(fault) => Self::Tls(fault),
            None => Self::Broken(error),
        }
    }
}

impl HandshakeError {
    /// Whether it may be the word of something in between, which another carrier passes.
    pub(crate) fn may_be_another_ones(&self) -> bool {
        matches!(self, Self::NoUpgrade | Self::Stranger(_) | Self::Broken(_))
    }
}

/// Does the handshake. The connection that comes back is ready for HTTP/2. Follows no
/// redirect.
pub(crate) async fn shake_hands(
    connection: Connection,
    authority: &str,
    path: &str,
    token: &Token,
    hello: &Hello,
    carrier: Carrier,
    steps: &Steps,
) -> Result<Carried, HandshakeError> {
    steps.begins(Step::Carrier);
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await?;
    let tasks = Tasks::new();
    tasks.spawner().spawn(async move {
        if let Err(error) = driver.with_upgrades().await {
            tracing::debug!(
                error = error_chain(&error),
                "the handshake's connection ended"
            );
        }
    });
    let key = generate_key();
    let mut response = sender
        .send_request(request(authority, path, token, hello, carrier, &key))
        .await?;
    match Answer::read(response.status(), response.headers(), carrier) {
        Answer::Accepted => {}
        Answer::Refused(Refusal::NoUpgrade) => return Err(HandshakeError::NoUpgrade),
        Answer::Refused(refusal) => {
            steps.done(Step::Carrier, carrier.name());
            steps.begins(step_of(refusal));
            return Err(refused(refusal, response).await);
        }
        Answer::Stranger(_) => return Err(stranger(&response)),
    }
    if carrier == Carrier::WebSocket {
        let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accept.is_none_or(|accept| *accept != derive_accept_key(key.as_bytes())) {
            return Err(stranger(&response));
        }
    }
    steps.done(Step::Carrier, carrier.name());
    steps.done(Step::Token, "the server knows it");
    let connection = TokioIo::new(hyper::upgrade::on(&mut response).await?);
    Ok(match carrier {
        Carrier::Upgrade => Either::Left(connection),
        Carrier::WebSocket => {
            Either::Right(Box::new(bytes_in_messages(connection, Role::Client).await))
        }
    })
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn request(
    authority: &str,
    path: &str,
    token: &Token,
    hello: &Hello,
    carrier: Carrier,
    key: &str,
) -> Request<Empty<Bytes>> {
    let mut headers = HeaderMap::new();
    hello.write(&mut headers);
    if let Ok(key) = HeaderValue::from_str(key) {
        carrier.ask(key, &mut headers);
    }
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
    // A path of a URL, which was read as such.
    *request.uri_mut() = path.parse().unwrap_or_default();
    *request.headers_mut() = headers;
    request
}

/// At which step the server refuses.
fn step_of(refusal: Refusal) -> Step {
    match refusal {
        Refusal::Token => Step::Token,
        Refusal::Subdomain => Step::Name,
        Refusal::NoUpgrade
        | Refusal::Malformed
        | Refusal::Version
        | Refusal::Linked
        | Refusal::Busy
        | Refusal::Draining => Step::Carrier,
    }
}

/// The answer of somebody who is no tunnel-server.
fn stranger(response: &Response<Incoming>) -> HandshakeError {
    let (status, headers) = (response.status(), response.headers());
    match headers.get(LOCATION).filter(|_| is_redirect(status)) {
        None => Stranger::read(status, headers).into(),
        Some(location) => HandshakeError::Redirected {
            location: String::from_utf8_lossy(location.as_bytes()).into_owned(),
        },
    }
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
    match refusal {
        Refusal::Linked => HandshakeError::Linked,
        _ if refusal.is_final() => HandshakeError::ForGood(RefusedForGood { message }),
        _ => HandshakeError::Later {
            message,
            after: after.map(Duration::from_secs),
        },
    }
}
