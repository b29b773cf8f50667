//! kube-client's ways to a credential: fixed tokens, passwords, what was there before
//! exec plugins.

use std::future::ready;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use hyper::body::Bytes;
use kube::Config as KubeConfig;
use kube::client::ConfigExt;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt, service_fn};

/// kube-client's authentication layer around a service that hands back the
/// header it was given: its header types are not public.
pub(crate) struct KubeCredential(
    BoxCloneSyncService<Request<Empty<Bytes>>, Response<Option<HeaderValue>>, BoxError>,
);

impl KubeCredential {
    /// May run a program. Nothing if there is no header to send.
    pub(crate) fn new(config: &KubeConfig) -> Result<Option<Self>, kube::Error> {
        Ok(config.auth_layer()?.map(|layer| {
            let header = service_fn(|request: Request<Empty<Bytes>>| {
                let header = request.headers().get(AUTHORIZATION).cloned();
                ready(Ok::<_, BoxError>(Response::new(header)))
            });
            Self(BoxCloneSyncService::new(layer.layer(header)))
        }))
    }

    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, BoxError> {
        let answer = self.0.clone().oneshot(Request::default()).await?;
        Ok(answer.into_body())
    }
}
