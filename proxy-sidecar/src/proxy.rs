//! One request, in order: secret, framing, filter, upstream, and the answer or the
//! switch of protocols.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use http::header::{CONNECTION, TE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, request};
use http_relay::body::{error_chain, pass, relay};
use http_relay::join::join;
use http_relay::named::Named;
use http_relay::upgrade::{self, UnsupportedUpgrade};
use http_relay::{RelayBody, framing, headers, watch_end};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use service_kit::accept::Place;
use service_kit::metrics::Counted;
use service_kit::tasks::Spawner;
use service_kit::upgraded::UpgradedTcp;
use tracing::{Instrument, Span};
use tunnel_protocol::limits::SWITCH_TIMEOUT;
use tunnel_protocol::upgrade::Protocol;

use crate::claims::Claims;
use crate::drain::Ending;
use crate::error::ProxyError;
use crate::filter::{Filter, Protection, Refused};
use crate::go_words::Asked;
use crate::metrics::{Metrics, Outcome};
use crate::plain;
use crate::routes::{Route, Routes};
use crate::secret::Secret;
use crate::static_files::StaticFiles;
use crate::upstream::{AnswerBody, SendError, Upstream, UpstreamError};
use crate::well_formed;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What every request needs.
pub(crate) struct Proxy {
    pub(crate) secret: Option<Secret>,
    pub(crate) claims: Claims,
    pub(crate) protection: Option<Protection>,
    pub(crate) filter: Option<Filter>,
    pub(crate) routes: Routes,
    pub(crate) kubectl_errors: bool,
    /// The API server's host and port, for messages.
    pub(crate) server: String,
    pub(crate) www: Option<StaticFiles>,
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Metrics,
    pub(crate) spawner: Spawner,
    pub(crate) ending: Ending,
}

/// Whose request it is.
pub(crate) struct Caller {
    /// Its IP address, made once for each connection; a Unix socket's caller has none.
    pub(crate) address: Option<HeaderValue>,
    /// Of the connection, among those that may be open.
    pub(crate) place: Arc<Place>,
    /// The worker that serves it.
    pub(crate) worker: usize,
}

impl Proxy {
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        caller: Caller,
    ) -> Result<Response<RelayBody>, Infallible> {
        let named = Named::of(&request);
        let span = named.debug_span();
        let upgrade = self.kubectl_errors && asked(&request).is_ok_and(|asked| asked.is_some());
        let answered = self.forward(request, caller, &named).instrument(span).await;
        Ok(answered.unwrap_or_else(|error| {
            self.metrics.count(outcome(&error));
            let not_forwarded = || tracing::info!(%error, "not forwarded");
            named.span().in_scope(not_forwarded);
            match self.kubectl_errors {
                true => error.as_kubectl(Asked {
                    server: &self.server,
                    upgrade,
                }),
                false => error.response(),
            }
        }))
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        caller: Caller,
        named: &Named,
    ) -> Result<Response<RelayBody>, ProxyError> {
        let open = self.metrics.open();
        // First of all: a stranger learns nothing, not even what the filter says.
        if let Some(secret) = &self.secret {
            secret.check(request.headers())?;
        }
        well_formed::check(&request)?;
        if is_ping(&request) {
            return Ok(Response::new(http_relay::body::empty()));
        }
        let asked = asked(&request)?;
        let (mut parts, body) = request.into_parts();
        // Each hop speaks its own.
        parts.version = Version::HTTP_11;
        framing::take(&mut parts.headers)?;
        match self.routes.route(&parts.method, &parts.uri)? {
            Route::NotFound => return Ok(plain::not_found()),
            Route::Redirect(to) => return Ok(plain::redirect(&parts.method, &to)),
            Route::Static { path, judged } => {
                self.judge(&parts, &judged, asked)?;
                return Ok(match &self.www {
                    Some(files) => files.serve(&parts, &path).await,
                    None => plain::not_found(),
                });
            }
            Route::Api { target, judged } => {
                if let Some(protection) = &self.protection {
                    protection.check(&parts.method, &target)?;
                }
                self.judge(&parts, &judged, asked)?;
                parts.uri = target.into();
            }
        }
        let callers_side = asked.and_then(|_| parts.extensions.remove::<OnUpgrade>());
        let wants_trailers = headers::has_token(&parts.headers, &TE, "trailers");
        headers::remove_hop_by_hop(&mut parts.headers);
        if body.is_end_stream() {
            // Without a body there are none, and Go would not announce them.
            parts.headers.remove(TRAILER);
        }
        headers::remove_ours(&mut parts.headers, &[]);
        self.claims.remove(&mut parts.headers);
        if let Some(address) = &caller.address {
            forwarded_for(&mut parts.headers, address);
        }
        match asked {
            Some(protocol) => upgrade::ask(&mut parts.headers, protocol),
            None if wants_trailers => headers::ask_for_trailers(&mut parts.headers),
            None => {}
        }

        let watch = watch_end::is_asked_for(&parts.method, &parts.uri).then_some(&self.ending);
        let response = self
            .upstream
            .send(
                Request::from_parts(parts, pass(body)),
                asked.is_some(),
                caller.worker,
            )
            .await?;
        tracing::debug!(status = response.status().as_u16(), "answered");
        match (asked, callers_side) {
            (Some(protocol), Some(callers_side)) => {
                let holds = (open, caller.place);
                self.switch(response, protocol, callers_side, holds, named.span())
            }
            _ if response.status() == http::StatusCode::SWITCHING_PROTOCOLS => {
                Err(ProxyError::Switched)
            }
            _ => {
                self.metrics.count(Outcome::Answered);
                answer(response, watch, open)
            }
        }
    }

    /// By the filter; `path` is what it is to judge.
    fn judge(
        &self,
        request: &request::Parts,
        path: &[u8],
        asked: Option<Protocol>,
    ) -> Result<(), Refused> {
        match &self.filter {
            Some(filter) => filter.check(request, path, asked.is_some()),
            None => Ok(()),
        }
    }

    /// After a 101 joins both connections; any other answer is passed on, and
    /// the caller's connection closed, as bytes of the other protocol may follow
    /// on it already. What joins them `holds` the caller's place among the connections.
    fn switch(
        &self,
        mut response: Response<AnswerBody>,
        asked: Protocol,
        callers_side: OnUpgrade,
        holds: (Counted, Arc<Place>),
        span: Span,
    ) -> Result<Response<RelayBody>, ProxyError> {
        if !upgrade::switched(&response, asked) {
            if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                return Err(ProxyError::Switched);
            }
            if self.kubectl_errors && response.status().as_u16() < 400 {
                return Err(ProxyError::NotSwitched(response.status()));
            }
            self.metrics.count(Outcome::Answered);
            let mut response = answer(response, None, holds.0)?;
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            return Ok(response);
        }
        self.metrics.count(Outcome::Upgraded);
        let upstreams_side = hyper::upgrade::on(&mut response);
        let splice = async move {
            let _holds = holds;
            let switched = async { tokio::try_join!(callers_side, upstreams_side) };
            match tokio::time::timeout(SWITCH_TIMEOUT, switched).await {
                Ok(Ok((caller, upstream))) => {
                    match join(UpgradedTcp::new(caller), TokioIo::new(upstream)).await {
                        Ok(()) => tracing::debug!("upgraded connection ended"),
                        Err(error) => tracing::debug!(%error, "upgraded connection broke"),
                    }
                }
                Ok(Err(error)) => {
                    tracing::debug!(error = error_chain(&error), "a side did not switch")
                }
                Err(_) => tracing::warn!("a side did not switch in time"),
            }
        };
        self.spawner.spawn(splice.instrument(span));
        let mut end_to_end = std::mem::take(response.headers_mut());
        clean_answer(&mut end_to_end);
        Ok(upgrade::switching(end_to_end, asked))
    }
}

/// `OPTIONS *`, which asks for the server itself: answered here, as kubectl proxy
/// does. tunnel-client looks with it whether its secret is accepted.
fn is_ping(request: &Request<Incoming>) -> bool {
    request.method() == Method::OPTIONS && request.uri().path() == "*"
}

/// HTTP/1.0 knows no upgrades: there it asks for an ordinary answer.
fn asked<B>(request: &Request<B>) -> Result<Option<Protocol>, UnsupportedUpgrade> {
    match request.version() {
        Version::HTTP_10 => Ok(None),
        _ => upgrade::requested(request.headers()),
    }
}

/// With what is told to a `watch`, which can end cleanly.
fn answer(
    response: Response<AnswerBody>,
    watch: Option<&Ending>,
    open: Counted,
) -> Result<Response<RelayBody>, ProxyError> {
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    framing::check(&parts.headers).map_err(ProxyError::Answer)?;
    clean_answer(&mut parts.headers);
    let watch = match watch {
        Some(ending) => watch_end::cleanly(&parts, body, ending.of_a_watch()),
        None => Err(body),
    };
    let body = match watch {
        Ok(body) => relay(body, pending(), Arc::default(), open),
        Err(body) => relay(body, pending(), Arc::default(), open),
    };
    Ok(Response::from_parts(parts, body))
}

fn clean_answer(headers: &mut HeaderMap) {
    headers::remove_hop_by_hop(headers);
    headers::remove_ours(headers, &[]);
}

/// As kubectl proxy does: the caller's address, behind what stands there already.
fn forwarded_for(headers: &mut HeaderMap, peer: &HeaderValue) {
    let mut chain = Vec::new();
    for line in headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    if chain.is_empty() {
        headers.insert(FORWARDED_FOR, peer.clone());
        return;
    }
    chain.extend_from_slice(peer.as_bytes());
    // All of it stood in headers.
    if let Ok(value) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, value);
    }
}

fn outcome(error: &ProxyError) -> Outcome {
    match error {
        ProxyError::Secret(_) => Outcome::Unproved,
        ProxyError::Refused(_) => Outcome::Refused,
        ProxyError::Upstream(UpstreamError::Credential(_)) => Outcome::CredentialUnavailable,
        ProxyError::Upstream(UpstreamError::Send(SendError::Dial(_))) => {
            Outcome::ApiServerUnreachable
        }
        _ => Outcome::Failed,
    }
}
