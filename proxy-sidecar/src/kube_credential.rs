//! kube-client's ways to a credential: fixed tokens, passwords, exec plugins.

use std::future::ready;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use hyper::body::Bytes;
use kube::Config as KubeConfig;
use kube::client::ConfigExt;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::credential::without_secrets;

/// Many callers may be refused at once, and a plugin may ask a person.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(10);

/// Can be asked for another credential by being made anew.
pub(crate) struct KubeCredential {
    config: Box<KubeConfig>,
    service: Mutex<Service>,
    asked: Mutex<Instant>,
}

/// kube-client's authentication layer around a service that hands back the
/// header it was given: its header types are not public.
type Service = BoxCloneSyncService<Request<Empty<Bytes>>, Response<Option<HeaderValue>>, BoxError>;

impl KubeCredential {
    /// Runs an exec plugin. Nothing if there is no header to send.
    pub(crate) fn new(config: &KubeConfig) -> Result<Option<Self>, kube::Error> {
        Ok(service(config)?.map(|service| Self {
            config: Box::new(config.clone()),
            service: Mutex::new(service),
            asked: Mutex::new(Instant::now()),
        }))
    }

    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, BoxError> {
        let service = {
            let service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
            service.clone()
        };
        let answer = service.oneshot(Request::default()).await?;
        Ok(answer.into_body())
    }

    /// Whether an exec plugin gives it.
    pub(crate) fn asks_a_plugin(&self) -> bool {
        self.config.auth_info.exec.is_some()
    }

    /// The API server refused it. kube-client asks a plugin again when its credential
    /// is due to expire, not when it is refused. Waits for the plugin, so that this is
    /// to be called where that holds up nobody.
    pub(crate) fn ask_again(&self) {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.elapsed() < BETWEEN_QUESTIONS {
                return;
            }
            *asked = Instant::now();
        }
        match service(&self.config) {
            Ok(Some(service)) => {
                *self.service.lock().unwrap_or_else(PoisonError::into_inner) = service;
                tracing::info!("the exec plugin was asked for another credential");
            }
            Ok(None) => {}
            Err(error) => {
                let error = without_secrets(&error);
                tracing::warn!(error, "the exec plugin gives no other credential");
            }
        }
    }
}

fn service(config: &KubeConfig) -> Result<Option<Service>, kube::Error> {
    Ok(config.auth_layer()?.map(|layer| {
        let header = service_fn(|request: Request<Empty<Bytes>>| {
            let header = request.headers().get(AUTHORIZATION).cloned();
            ready(Ok::<_, BoxError>(Response::new(header)))
        });
        BoxCloneSyncService::new(layer.layer(header))
    }))
}
