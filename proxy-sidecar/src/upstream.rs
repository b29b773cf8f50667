//! Requests to the API server.

use std::convert::Infallible;
use std::future::ready;
use std::net::IpAddr;
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
use service_kit::tasks::{Spawner, Tasks};
use thiserror::Error;
use tower::{Layer, ServiceExt, service_fn};
use tunnel_protocol::limits::HEADER_LINES;

use crate::args::KeepAlive;
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
    client: Connections,
    /// Of requests that ask to switch protocols: none of these is used again.
    upgrades: Connections,
    base: Uri,
    /// What the kubeconfig's URL has before each path, without a slash at its end.
    base_path: String,
    credential: Credential,
    /// The kubeconfig's `as`, `as-groups` and the like.
    impersonation: HeaderMap,
    require_own_credential: bool,
    /// Idle connections too: they end with this, and no drain waits for them.
    _connections: Tasks,
}

type Connections = Client<HttpsConnector<HttpConnector>, RelayBody>;

/// How requests are sent.
pub(crate) struct UpstreamOptions {
    pub(crate) require_own_credential: bool,
    pub(crate) append_server_path: bool,
    /// Of upgraded connections.
    pub(crate) keepalive: KeepAlive,
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
        options: UpstreamOptions,
    ) -> Result<Self, kube::Error> {
        let connections = Tasks::new();
        let credential = if is_open(&config.cluster_url) {
            tracing::warn!("the API server's URL is plain HTTP: no credential is sent to it");
            Credential::None
        } else {
            Credential::new(&mut config)?
        };
        let impersonation = impersonation(&config).await?;
        let ordinary = config.rustls_https_connector_with_connector(tcp(Some(TCP_KEEPALIVE)))?;
        let keepalive = match options.keepalive {
            KeepAlive::Off => None,
            KeepAlive::Every(time) => Some(time),
        };
        let upgrades = config.rustls_https_connector_with_connector(tcp(keepalive))?;
        let base_path = base_path(&config.cluster_url, options.append_server_path);
        Ok(Self {
            client: client(connections.spawner(), IDLE_CONNECTIONS, ordinary),
            upgrades: client(connections.spawner(), 0, upgrades),
            base: config.cluster_url,
            base_path,
            credential,
            impersonation,
            require_own_credential: options.require_own_credential,
            _connections: connections,
        })
    }

    /// Sends a request whose hop-by-hop headers are gone, and gives the answer's
    /// head as soon as it is there. `upgrade` tells whether it asks to switch protocols.
    pub(crate) async fn send(
        &self,
        mut request: Request<RelayBody>,
        upgrade: bool,
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
        let client = if upgrade {
            &self.upgrades
        } else {
            &self.client
        };
        let response = client.request(request).await?;
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
        let mut path = uri
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        if !self.base_path.is_empty() {
            let whole = format!("{}{path}", self.base_path);
            path = PathAndQuery::try_from(whole).map_err(|_| UpstreamError::Target)?;
        }
        let mut parts = http::uri::Parts::default();
        parts.scheme = self.base.scheme().cloned().or(Some(Scheme::HTTPS));
        parts.authority = self.base.authority().cloned();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|_| UpstreamError::Target)
    }
}

fn tcp(keepalive: Option<Duration>) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(keepalive);
    // Either would switch it on.
    if keepalive.is_some() {
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    }
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}

fn client(tasks: Spawner, idle: usize, connector: HttpsConnector<HttpConnector>) -> Connections {
    Client::builder(tasks)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(idle)
        .http1_max_headers(HEADER_LINES)
        .build(connector)
}

/// Whoever is in between could read a credential. kubectl sends none over plain HTTP
/// at all; on the machine itself nobody is in between.
fn is_open(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = bare
        .parse()
        .map_or(bare == "localhost", |ip: IpAddr| ip.is_loopback());
    url.scheme() == Some(&Scheme::HTTP) && !is_local
}

fn base_path(url: &Uri, append: bool) -> String {
    let path = url.path().trim_end_matches('/');
    if !append && !path.is_empty() {
        tracing::warn!(
            path,
            "the kubeconfig's server URL has a path that requests are sent without; \
             --append-server-path sends them below it"
        );
        return String::new();
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_kept_back_from_open_networks() {
        for (url, open) in [
            ("https://10.0.0.1", false),
            ("http://10.0.0.1:8080", true),
            ("http://localhost.evil", true),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]", false),
            ("http://localhost", false),
        ] {
            assert_eq!(is_open(&url.parse().unwrap()), open, "{url}");
        }
    }
}
