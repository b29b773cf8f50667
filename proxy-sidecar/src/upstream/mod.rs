//! Requests to the API server: with which credential and for whom they are sent.
//! [`connections`] tells over which connection ([`http1`], [`http2`]), and [`dial`]
//! makes one ([`which_proxy`], [`tls`]).

mod answer;
mod cause;
mod connections;
mod dial;
mod http1;
mod http2;
mod outgoing;
mod own_certificate;
mod replay;
mod tls;
mod which_proxy;

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, Request, Response, Uri};
use http_relay::RelayBody;
use kube::Config as KubeConfig;
use kube::client::ConfigExt;
use prometheus_client::metrics::gauge::Gauge;
use service_kit::tls::TlsError as RootsError;
use thiserror::Error;
use tokio::runtime::Handle;
use tower::{Layer, ServiceExt, service_fn};

use crate::args::KeepAlive;
use crate::capacity::Capacity;
use crate::credential::{Credential, CredentialError, without_secrets};
use crate::plugin::{self, Plugin, PluginError};
use connections::{Connections, Shared};
use dial::Dialer;
use replay::Room;
use tls::Tls;
use which_proxy::is_this_machine;

pub(crate) use answer::AnswerBody;
pub(crate) use connections::SendError;
pub use tls::TlsError;
pub use which_proxy::ProxyChoiceError;

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");

/// The API server, and the credential for it.
pub(crate) struct Upstream {
    /// Of each worker its own.
    connections: Vec<Connections>,
    /// What the kubeconfig's URL has before each path, without a slash at its end.
    base_path: String,
    credential: Credential,
    /// The kubeconfig's `as`, `as-groups` and the like.
    impersonation: HeaderMap,
    require_own_credential: bool,
}

/// How requests are sent.
pub(crate) struct UpstreamOptions {
    pub(crate) require_own_credential: bool,
    pub(crate) append_server_path: bool,
    /// Of upgraded connections.
    pub(crate) keepalive: KeepAlive,
    pub(crate) capacity: Capacity,
    /// Counts those that are open.
    pub(crate) connections: Gauge,
    /// One for each worker. What they start belongs to whoever has the upstream.
    pub(crate) workers: Vec<Handle>,
}

/// Why the API server gave no answer.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the request's target is not a path")]
    Target,
}

/// The API server cannot be called as the configuration says.
#[derive(Debug, Error)]
pub enum UpstreamBuildError {
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The proxy on the way.
    #[error(transparent)]
    Proxy(#[from] ProxyChoiceError),
    /// Whom TLS with the proxy itself trusts.
    #[error(transparent)]
    ProxyRoots(#[from] RootsError),
    /// The program that gives the credential.
    #[error("cannot get the kubeconfig's credential: {0}")]
    Plugin(#[from] PluginError),
    /// kube-client's words, without secrets.
    #[error("the cluster's configuration cannot be used: {0}")]
    Client(String),
}

impl From<kube::Error> for UpstreamBuildError {
    fn from(error: kube::Error) -> Self {
        Self::Client(without_secrets(&error))
    }
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
    ) -> Result<Self, UpstreamBuildError> {
        let server = config.cluster_url.clone();
        let proxy = which_proxy::of(&config, |name| {
            Some(std::env::var_os(name)?.to_string_lossy().into_owned())
        })?;
        let (credential, plugin) = credential(&mut config, proxy.is_some()).await?;
        let impersonation = impersonation(&config).await?;
        if let Some(proxy) = &proxy {
            tracing::info!(%proxy, "the API server is called through a proxy");
        }
        let tls = match server.scheme() == Some(&Scheme::HTTP) {
            true => None,
            false => Some(Arc::new(Tls::new(config, plugin)?)),
        };
        let keepalive = match options.keepalive {
            KeepAlive::Off => None,
            KeepAlive::Every(time) => Some(time),
        };
        let shared = Shared {
            dialer: Arc::new(Dialer::new(&server, keepalive, proxy, tls.clone())?),
            tls,
            capacity: options.capacity,
            room: Room::default(),
            count: options.connections,
        };
        let workers = options.workers.into_iter();
        let connections = |worker| Connections::new(&server, shared.clone(), worker);
        Ok(Self {
            connections: workers.map(connections).collect(),
            base_path: base_path(&server, options.append_server_path),
            credential,
            impersonation,
            require_own_credential: options.require_own_credential,
        })
    }

    /// Sends a request whose hop-by-hop headers are gone, and gives the answer's
    /// head as soon as it is there. `upgrade` tells whether it asks to switch protocols,
    /// and `worker` on which one this is called.
    pub(crate) async fn send(
        &self,
        mut request: Request<RelayBody>,
        upgrade: bool,
        worker: usize,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        *request.uri_mut() = self.target(request.uri())?;
        // The caller's connection is no matter of the next one's.
        request.extensions_mut().clear();
        let headers = request.headers_mut();
        let callers = headers
            .get(AUTHORIZATION)
            .is_some_and(|value| !value.is_empty());
        let ours = self.require_own_credential || !callers;
        let mut credential = None;
        if ours {
            headers.remove(AUTHORIZATION);
            credential = self.credential.header().await?;
            if let Some(credential) = &credential {
                headers.insert(AUTHORIZATION, credential.clone());
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
        let connections = &self.connections[worker % self.connections.len()];
        let response = match upgrade {
            true => connections.upgrade(request).await?,
            false => connections.send(request).await?,
        };
        if ours {
            self.credential
                .answered(credential.as_ref(), response.status());
        }
        Ok(response)
    }

    /// Whether a request could be sent with a credential now, as far as can be
    /// told without running anything.
    pub(crate) fn ready(&self) -> Result<(), CredentialError> {
        self.credential.ready()
    }

    /// What it means that the API server answers 401 to our credential.
    pub(crate) fn rejected(&self) -> String {
        self.credential.rejected()
    }

    /// The path that the API server is asked for.
    fn target(&self, uri: &Uri) -> Result<Uri, UpstreamError> {
        let path = uri
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        if self.base_path.is_empty() {
            return Ok(path.into());
        }
        let whole = format!("{}{path}", self.base_path);
        whole.parse().map_err(|_| UpstreamError::Target)
    }
}

/// Runs an exec plugin that the kubeconfig names.
async fn credential(
    config: &mut KubeConfig,
    through_proxy: bool,
) -> Result<(Credential, Option<Arc<Plugin>>), UpstreamBuildError> {
    let exec = plugin::take(&mut config.auth_info);
    if is_open(&config.cluster_url, through_proxy) {
        tracing::warn!("the API server's URL is plain HTTP: no credential is sent to it");
        return Ok((Credential::none(), None));
    }
    let Some(exec) = exec else {
        return Ok((Credential::new(config).await?, None));
    };
    let plugin = Arc::new(Plugin::start(exec).await?);
    Ok((Credential::of(plugin.clone()), Some(plugin)))
}

/// Whoever is in between could read a credential. kubectl sends none over plain HTTP
/// at all; on the machine itself nobody is in between, if no proxy makes it another one.
fn is_open(url: &Uri, through_proxy: bool) -> bool {
    url.scheme() == Some(&Scheme::HTTP) && (through_proxy || !is_this_machine(url))
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
            let url = url.parse().unwrap();
            assert_eq!(is_open(&url, false), open, "{url}");
        }
        let behind = "http://127.0.0.1:8080".parse().unwrap();
        assert!(is_open(&behind, true));
    }
}
