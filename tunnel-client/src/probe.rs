//! Whether the sidecar answers, asked again and again, for readiness: by
//! `OPTIONS *`, which it answers itself, as kubectl proxy does. It has to accept
//! the secret, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Uri};
use tokio::time::{sleep, timeout};

use crate::upstream::Upstream;

/// How often it is asked, and how long it may take.
const PROBE: Duration = Duration::from_secs(2);

/// What the sidecar answered last.
#[derive(Clone, Debug)]
pub(crate) struct Probe(Arc<Mutex<Result<(), String>>>);

impl Probe {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Err(
            "the sidecar was not asked yet".to_owned()
        ))))
    }

    /// Nothing, or what is wrong.
    pub(crate) fn last(&self) -> Result<(), String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks until it is dropped.
    pub(crate) async fn ask(&self, upstream: &Upstream) {
        loop {
            let answered = match timeout(PROBE, upstream.send(question())).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!(
                    "{} does not answer within {} s",
                    upstream.authority(),
                    PROBE.as_secs()
                )),
            };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answered;
            sleep(PROBE).await;
        }
    }
}

fn question() -> Request<http_relay::RelayBody> {
    let mut request = Request::new(http_relay::body::empty());
    *request.method_mut() = Method::OPTIONS;
    *request.uri_mut() = Uri::from_static("*");
    // Kept open it would hold one of the sidecar's places.
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    request
}
