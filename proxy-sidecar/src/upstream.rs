//! Requests to the API server.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri};
use http_relay::{RelayBody, framing};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioTimer;
use kube::Config as KubeConfig;
use kube::client::ConfigExt;
use service_kit::tasks::Tasks;
use thiserror::Error;
use tower::{Layer, ServiceExt, service_fn};
use tunnel_protocol::limits::HEADER_LINES;

use crate::credential::{Credential, CredentialError};

/// As client-go's dialer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// With the above: a dead connection under a quiet watch is found in 75 s, not in
/// the system's twelve minutes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;
/// And one under a request.
const UNACKNOWLEDGED: Duration = Duration::from_secs(45);
/// Below the API server's own 90 s, so that we close an idle connection first
/// and no request meets one that is just being closed.
const IDLE: Duration = Duration::from_secs(60);
/// Above what is open at once in ordinary use. Beyond it a TLS connection is
/// closed after its answer and another opened for the next request: with 64 the
/// chain answered half as much at 256 requests at once (`bench/NOTES.md`).
const IDLE_CONNECTIONS: usize = 1024;

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");

/// The API server, and the credential for it.
pub(crate) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, RelayBody>,
    base: Uri,
    credential: Credential,
    /// The kubeconfig's `as`, `as-groups` and the like.
    impersonation: HeaderMap,
    require_own_credential: bool,
    /// Idle connections too: they end with this, and no drain waits for them.
    _connections: Tasks,
}

/// Why the API server gave no answer.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("{0}")]
    Send(#[from] ClientError),
    #[error("the request's target is not a path")]
    Target,
}

/// kube-client's headers; the layer that sets them is public, what it holds is
/// not, so it is asked to set them on an empty request.
async fn impersonation(config: &KubeConfig) -> Result<HeaderMap, kube::Error> {
    let headers = service_fn(|request: Request<()>| {
        ready(Ok::<_, Infallible>(request.into_parts().0.headers))
    });
    let layered = config.extra_headers_layer()?.layer(headers);
    let Ok(headers) = layered.oneshot(Request::new(())).await;
    Ok(headers)
}

impl Upstream {
    pub(crate) async fn new(
        mut config: KubeConfig,
        require_own_credential: bool,
    ) -> Result<Self, kube::Error> {
        let connections = Tasks::new();
        let credential = Credential::new(&mut config)?;
        let impersonation = impersonation(&config).await?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(connections.spawner())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_headers(HEADER_LINES)
            .build(config.rustls_https_connector_with_connector(tcp)?);
        Ok(Self {
            client,
            base: config.cluster_url,
            credential,
            impersonation,
            require_own_credential,
            _connections: connections,
        })
    }

    /// Sends a request whose hop-by-hop headers are gone, and gives the answer's
    /// head as soon as it is there.
    pub(crate) async fn send(
        &self,
        mut request: Request<RelayBody>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        *request.uri_mut() = self.target(request.uri())?;
        let headers = request.headers_mut();
        headers.remove(HOST);
        let callers = headers
            .get(AUTHORIZATION)
            .is_some_and(|value| !value.is_empty());
        let ours = self.require_own_credential || !callers;
        if ours {
            headers.remove(AUTHORIZATION);
            if let Some(credential) = self.credential.header().await? {
                headers.insert(AUTHORIZATION, credential);
            }
        }
        // As kubectl proxy: a caller that impersonates somebody says all of it.
        let impersonates = headers
            .get(IMPERSONATE_USER)
            .is_some_and(|user| !user.is_empty());
        if !self.impersonation.is_empty() && !impersonates {
            http_relay::headers::retain(headers, |name| !name.as_str().starts_with("impersonate-"));
            headers.extend(self.impersonation.clone());
        }
        framing::announce(&mut request);
        let response = self.client.request(request).await?;
        if response.status() == StatusCode::UNAUTHORIZED && ours {
            self.credential.refresh();
        }
        Ok(response)
    }

    /// Whether a request could be sent with a credential now, as far as can be
    /// told without running anything.
    pub(crate) fn ready(&self) -> Result<(), CredentialError> {
        self.credential.ready()
    }

    fn target(&self, uri: &Uri) -> Result<Uri, UpstreamError> {
        let path = uri
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        let mut parts = http::uri::Parts::default();
        parts.scheme = self.base.scheme().cloned().or(Some(Scheme::HTTPS));
        parts.authority = self.base.authority().cloned();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|_| UpstreamError::Target)
    }
}
