//! The credential that goes to the API server.

use std::future::ready;
use std::path::Path;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use hyper::body::Bytes;
use kube::Config as KubeConfig;
use kube::client::ConfigExt;
use thiserror::Error;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::token_file::{TokenFile, TokenFileError};

/// Gives the `Authorization` header for each request.
pub(crate) enum Credential {
    /// Client certificate, or none: TLS says who we are.
    None,
    /// A token in a file that is replaced while we run.
    TokenFile(TokenFile),
    /// kube-client's own: fixed tokens, passwords, exec plugins.
    KubeClient(AuthService),
}

/// kube-client's authentication layer around a service that hands back the
/// header it was given: its header types are not public.
type AuthService =
    BoxCloneSyncService<Request<Empty<Bytes>>, Response<Option<HeaderValue>>, BoxError>;

/// There is no credential.
#[derive(Debug, Error)]
pub(crate) enum CredentialError {
    /// The token file.
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    /// An exec plugin or the like; never holds what it printed.
    #[error("cannot get the kubeconfig's credential: {0}")]
    KubeClient(BoxError),
}

impl Credential {
    pub(crate) fn new(config: &mut KubeConfig) -> Result<Self, kube::Error> {
        // kube-client's own reader neither trims nor can be told to read anew.
        if let Some(path) = config.auth_info.token_file.take() {
            return Ok(Self::TokenFile(TokenFile::new(Path::new(&path))));
        }
        Ok(config.auth_layer()?.map_or(Self::None, |layer| {
            let header = service_fn(|request: Request<Empty<Bytes>>| {
                let header = request.headers().get(AUTHORIZATION).cloned();
                ready(Ok::<_, BoxError>(Response::new(header)))
            });
            Self::KubeClient(BoxCloneSyncService::new(layer.layer(header)))
        }))
    }

    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, CredentialError> {
        match self {
            Self::None => Ok(None),
            Self::TokenFile(file) => Ok(Some(file.header()?)),
            Self::KubeClient(service) => {
                let answer = service.clone().oneshot(Request::default()).await;
                answer
                    .map(|answer| answer.into_body().map(sensitive))
                    .map_err(CredentialError::KubeClient)
            }
        }
    }

    /// Whether there is a credential, without running an exec plugin.
    pub(crate) fn ready(&self) -> Result<(), CredentialError> {
        if let Self::TokenFile(file) = self {
            file.header()?;
        }
        Ok(())
    }

    /// After a 401: the next request takes a fresh one.
    pub(crate) fn refresh(&self) {
        if let Self::TokenFile(file) = self {
            file.refresh();
        }
    }
}

fn sensitive(mut header: HeaderValue) -> HeaderValue {
    header.set_sensitive(true);
    header
}
