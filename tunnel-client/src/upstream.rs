//! Requests to the sidecar's port.

use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_relay::body::error_chain;
use http_relay::{RelayBody, framing};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioTimer;
use service_kit::tasks::Tasks;
use thiserror::Error;
use tunnel_protocol::Failure;
use tunnel_protocol::header::{ERROR, SIDECAR_SECRET};
use tunnel_protocol::limits::HEADER_LINES;

use crate::sidecar_secret::{SidecarSecret, SidecarSecretError};

/// The port is in our own pod.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below what the sidecar allows, so that this side closes idle connections.
const IDLE: Duration = Duration::from_secs(30);
/// Above what is open at once in ordinary use. Beyond it a connection is
/// closed after its answer and another opened for the next request: with 64 the
/// chain answered half as much at 256 requests at once (`bench/NOTES.md`).
const IDLE_CONNECTIONS: usize = 1024;

/// Sends requests over a pool of connections, of whatever kind those are.
type Requests = Box<dyn Fn(Request<RelayBody>) -> ResponseFuture + Send + Sync>;

/// proxy-sidecar, or kubectl proxy in its place.
pub(crate) struct Upstream {
    client: Requests,
    authority: Authority,
    secret: Option<Arc<SidecarSecret>>,
    /// Idle connections too: they end with this, and no drain waits for them.
    _connections: Tasks,
}

/// Why the sidecar gave no answer.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    NoSecret(#[from] SidecarSecretError),
    #[error(
        "{0} refuses the request for want of its secret: --sidecar-secret-file has to name what \
         proxy-sidecar's --secret-file does"
    )]
    SecretRefused(Authority),
    #[error("cannot reach {upstream}: {cause}")]
    Unreachable { upstream: Authority, cause: String },
    #[error("the connection ended before an answer came: {0}")]
    Broken(String),
}

impl Upstream {
    pub(crate) fn new(authority: Authority, secret: Option<Arc<SidecarSecret>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self::over(tcp, authority, secret)
    }

    /// Over the connections that `connector` makes.
    pub(crate) fn over(
        connector: impl Connect + Clone + Send + Sync + 'static,
        authority: Authority,
        secret: Option<Arc<SidecarSecret>>,
    ) -> Self {
        let connections = Tasks::new();
        let client = Client::builder(connections.spawner())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_headers(HEADER_LINES)
            .build(connector);
        Self {
            client: Box::new(move |request| client.request(request)),
            authority,
            secret,
            _connections: connections,
        }
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) async fn send(
        &self,
        mut request: Request<RelayBody>,
    ) -> Result<Response<Incoming>, SendError> {
        *request.uri_mut() = self.target(request.uri());
        // The only host that the sidecar's filter accepts: the caller's own would
        // be refused, and must not choose anything here.
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        if let Some(secret) = &self.secret {
            headers.insert(SIDECAR_SECRET, secret.header()?);
        }
        framing::announce(&mut request);
        let response = (self.client)(request).await.map_err(|error| {
            let cause = error_chain(&error);
            if error.is_connect() {
                let upstream = self.authority.clone();
                SendError::Unreachable { upstream, cause }
            } else {
                SendError::Broken(cause)
            }
        })?;
        // Passed on it would look as if the caller's own credential were wrong.
        if wants_the_secret(&response) {
            return Err(SendError::SecretRefused(self.authority.clone()));
        }
        Ok(response)
    }

    fn target(&self, uri: &Uri) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(
            uri.path_and_query()
                .cloned()
                .unwrap_or(PathAndQuery::from_static("/")),
        );
        // All three are there, which is all that is asked for.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

fn wants_the_secret(response: &Response<Incoming>) -> bool {
    let code = response.headers().get(ERROR);
    response.status() == StatusCode::UNAUTHORIZED
        && code.is_some_and(|code| code == Failure::SidecarSecret.code())
}
