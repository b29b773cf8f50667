//! One request of the link: to the sidecar and back.

use std::future::pending;
use std::sync::Arc;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use http_relay::body::{error_chain, pass, relay};
use http_relay::body_channel;
use http_relay::framing::{self, FramingError};
use http_relay::named::Named;
use http_relay::splice::{SpliceMeters, SpliceStalls, splice};
use http_relay::stall_budget::{LinkStalls, StallBudget, StreamHandle};
use http_relay::{Inbound, RelayBody, headers, status, upgrade, watch_end};
use hyper::body::Incoming;
use service_kit::metrics::Counted;
use service_kit::tasks::Spawner;
use service_kit::upgraded::UpgradedTcp;
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tunnel_protocol::Failure;
use tunnel_protocol::header::{ERROR, REQUEST_ID};
use tunnel_protocol::limits::{READ_AHEAD, REQUEST_WINDOW, SWITCH_TIMEOUT};
use tunnel_protocol::upgrade::{LinkUpgrade, mark_switched};

use crate::metrics::{Metrics, Outcome};
use crate::sidecar_connections::Answer;
use crate::strange_request::{self, StrangeRequest};
use crate::upstream::{SendError, Upstream};

/// Relays requests; shared by all links.
pub(crate) struct Relay {
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Metrics,
    pub(crate) stalls: StallBudget,
    /// Watches end then; see [`watch_end`].
    pub(crate) draining: CancellationToken,
}

#[derive(Debug, Error)]
enum RelayFailure {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Strange(#[from] StrangeRequest),
    #[error("its answer is malformed: {0}")]
    Framing(#[from] FramingError),
    #[error("it switched to a protocol that was not asked for")]
    Switched,
    #[error("streams that stand still hold too much memory")]
    Overloaded,
    #[error("ended: {0}")]
    Stalled(&'static str),
}

impl Relay {
    /// Always answers: a failure as a `Status` with its code, which the server
    /// tells from the cluster's own answers. The link's `open` counts until the stream
    /// has ended.
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        spawner: &Spawner,
        stalls: &LinkStalls,
        open: Counted,
    ) -> Response<RelayBody> {
        let named = Named::of(&request);
        let span = named.debug_span();
        let answer = async {
            let answer = self.forward(request, spawner, stalls, open, &named).await?;
            tracing::debug!(status = answer.status().as_u16(), "answered");
            Ok(answer)
        };
        let answer: Result<_, RelayFailure> = answer.instrument(span).await;
        answer.unwrap_or_else(|failure| {
            let none = || tracing::info!(error = %failure, "the sidecar gave no answer");
            named.span().in_scope(none);
            self.failed(&failure)
        })
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        spawner: &Spawner,
        stalls: &LinkStalls,
        open_on_link: Counted,
        named: &Named,
    ) -> Result<Response<RelayBody>, RelayFailure> {
        if stalls.is_full() {
            return Err(RelayFailure::Overloaded);
        }
        let open = (self.metrics.open_request(), open_on_link);
        let (mut parts, body) = request.into_parts();
        let body = Inbound::new(body, Version::HTTP_2);
        let asked = LinkUpgrade::take(&mut parts.headers);
        strange_request::check(&parts.method, &parts.uri, asked.as_ref())?;
        clean_request(&mut parts.headers);
        parts.version = Version::HTTP_11;
        parts.extensions = http::Extensions::new();
        let (mut body, upload) = hold_upload(stalls, body);
        let Some(asked) = asked else {
            headers::ask_for_trailers(&mut parts.headers);
            let wanted = (parts.method.clone(), parts.uri.clone());
            let request = Request::from_parts(parts, body);
            let response = tokio::select! {
                response = self.upstream.send(request) => response?,
                reason = upload.cut() => return Err(RelayFailure::Stalled(reason)),
            };
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(RelayFailure::Switched);
            }
            // Without its request the answer is not wanted.
            let ended = async move { upload.cut().await };
            return self.answer(&wanted, response, ended, open, stalls);
        };

        upgrade::ask(&mut parts.headers, asked.protocol);
        parts.method = asked.method.clone();
        let wanted = (parts.method.clone(), parts.uri.clone());
        let request = Request::from_parts(parts, http_relay::body::empty());
        let mut response = tokio::select! {
            response = self.upstream.send(request) => response?,
            // The server waits for the switch. Else it could fill our memory meanwhile.
            _ = body.frame() => return Err(StrangeRequest::Early.into()),
        };
        if !upgrade::switched(&response, asked.protocol) {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(RelayFailure::Switched);
            }
            // The body, which would be the other protocol's bytes, is dropped.
            return self.answer(&wanted, response, pending(), open, stalls);
        }
        let (writer, outgoing) = body_channel::channel();
        let stalls = SpliceStalls {
            outgoing: Some(stalls.stall(READ_AHEAD)),
            incoming: Some(upload),
        };
        let upgraded = hyper::upgrade::on(&mut response);
        let splicing = async move {
            let _open = open;
            let ended = match timeout(SWITCH_TIMEOUT, upgraded).await {
                Ok(Ok(upgraded)) => {
                    let sidecar = UpgradedTcp::new(upgraded);
                    splice(sidecar, body, writer, &SpliceMeters::default(), &stalls).await
                }
                Err(_) => return tracing::warn!("the sidecar did not switch in time"),
                Ok(Err(error)) => {
                    return tracing::debug!(
                        error = error_chain(&error),
                        "the sidecar did not switch"
                    );
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "upgraded stream broke");
            }
        };
        spawner.spawn(splicing.instrument(named.span()));
        self.metrics.request(Outcome::Upgraded);
        let (mut parts, _) = response.into_parts();
        clean_answer(&mut parts.headers);
        mark_switched(&mut parts.headers, asked.protocol);
        parts.status = StatusCode::OK;
        parts.version = Version::HTTP_2;
        parts.extensions = http::Extensions::new();
        Ok(Response::from_parts(parts, pass(outgoing)))
    }

    fn answer(
        &self,
        (method, uri): &(Method, Uri),
        response: Response<Answer>,
        ended: impl Future<Output = &'static str> + Send + 'static,
        open: (Counted, Counted),
        stalls: &LinkStalls,
    ) -> Result<Response<RelayBody>, RelayFailure> {
        let (mut parts, body) = response.into_parts();
        framing::check(&parts.headers)?;
        clean_answer(&mut parts.headers);
        parts.version = Version::HTTP_2;
        parts.extensions = http::Extensions::new();
        self.metrics.request(Outcome::Answered);
        let is_watch = body.size_hint().exact().is_none() && watch_end::is_asked_for(method, uri);
        let body = match is_watch {
            true => watch_end::cleanly(&parts, body, self.end_of_a_watch()),
            false => Err(body),
        };
        let body = match body {
            Ok(body) => relay(body, ended, Arc::default(), open),
            Err(body) => relay(body, ended, Arc::default(), open),
        };
        Ok(Response::from_parts(
            parts,
            stalls.outbound(body, READ_AHEAD).0,
        ))
    }

    /// Ready when a watch is to end whose answer's head comes now. In a pod the sidecar
    /// is told at the same time, unless it is one that outlives the client.
    fn end_of_a_watch(&self) -> impl Future<Output = ()> + use<> {
        // One that is young at the drain's deadline is cut.
        watch_end::not_too_young(self.draining.clone().cancelled_owned(), pending())
    }

    fn failed(&self, failure: &RelayFailure) -> Response<RelayBody> {
        let (code, outcome) = match failure {
            RelayFailure::Send(SendError::Unreachable { .. }) => {
                (Failure::SidecarUnreachable, Outcome::SidecarUnreachable)
            }
            RelayFailure::Send(SendError::Broken(_)) => {
                (Failure::SidecarBroken, Outcome::SidecarBroken)
            }
            RelayFailure::Send(SendError::NoSecret(_) | SendError::SecretRefused(_)) => {
                (Failure::SidecarSecret, Outcome::SidecarSecret)
            }
            RelayFailure::Strange(_) => (Failure::BadRequest, Outcome::BadRequest),
            RelayFailure::Framing(_) | RelayFailure::Switched => {
                (Failure::BadAnswer, Outcome::BadAnswer)
            }
            RelayFailure::Overloaded | RelayFailure::Stalled(_) => {
                (Failure::Overloaded, Outcome::Overloaded)
            }
        };
        self.metrics.request(outcome);
        let message = format!("tunnel-client got no answer from its upstream: {failure}");
        let (status, retry_after) = match failure {
            RelayFailure::Strange(_) => (StatusCode::BAD_REQUEST, None),
            RelayFailure::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
            // Part of it may have been done.
            RelayFailure::Stalled(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
            _ => (StatusCode::BAD_GATEWAY, None),
        };
        status::response(status, code, &message, retry_after)
    }
}

/// A request's body, towards a sidecar that may not take it.
fn hold_upload(stalls: &LinkStalls, body: Inbound<Incoming>) -> (RelayBody, StreamHandle) {
    let window = REQUEST_WINDOW.into();
    stalls.inbound(pass(body), window, pending(), Arc::default(), ())
}

fn clean_request(headers: &mut HeaderMap) {
    headers::remove_hop_by_hop(headers);
    headers::remove_ours(headers, &[REQUEST_ID]);
    headers::retain(headers, |name| name != HOST);
    // Host is made anew, so Origin is, too: the caller's could only be compared
    // with the wrong one. Without any, Go's WebSocket refuses a browser's watch.
    // It guards nothing here: callers prove themselves by tokens, which no page
    // sends unasked.
    if headers.contains_key(ORIGIN) {
        headers.insert(ORIGIN, HeaderValue::from_static("http://localhost"));
    }
}

fn clean_answer(headers: &mut HeaderMap) {
    headers::remove_hop_by_hop(headers);
    headers::remove_ours(headers, &[ERROR]);
}
