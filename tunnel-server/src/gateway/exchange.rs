//! The exchange over a link: one request out, one answer back, or a switch of
//! protocols. Everything streams.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::header::{HOST, HeaderName};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_relay::body::{error_chain, pass, relay};
use http_relay::body_channel::{self, BodyWriter};
use http_relay::splice::{SpliceMeters, SpliceStalls, splice};
use http_relay::stall_budget::LinkStalls;
use http_relay::{
    H2Received, Inbound, RelayBody, RelayError, framing, headers, upgrade, watch_end,
};
use hyper::body::{Body, Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tunnel_protocol::Failure;
use tunnel_protocol::header::ERROR;
use tunnel_protocol::limits::SWITCH_TIMEOUT;
use tunnel_protocol::upgrade::{LinkUpgrade, Protocol, take_switched};

use super::deadline::{is_long_running, overdue};
use super::error::GatewayError;
use super::target::ClusterTarget;
use super::{browser, identity, trailers};
use crate::access::Permit;
use crate::audit::{Record, Slot};
use crate::limits::Places;
use crate::links::{Hold, hold_answer};
use crate::metrics::Outcome;
use crate::shared::Shared;

/// An answer that still lacks the record, which is to live as long as its body.
pub(crate) struct Answer {
    parts: http::response::Parts,
    outcome: Outcome,
    /// A stream's, which is told when it starts.
    start_line: Option<Slot>,
    body: AnswerBody,
}

enum AnswerBody {
    Stream(Box<dyn FnOnce(Record) -> RelayBody + Send>),
    Switch(Box<dyn FnOnce(Record) + Send>),
}

impl Answer {
    /// Hands the record to whatever lives longest.
    pub(crate) fn finish(self, mut record: Record) -> Response<RelayBody> {
        record.answered(self.outcome, self.parts.status);
        if let Some(slot) = self.start_line {
            record.stream_started(slot);
        }
        let body = match self.body {
            AnswerBody::Stream(body) => body(record),
            AnswerBody::Switch(start) => {
                start(record);
                http_relay::body::empty()
            }
        };
        Response::from_parts(self.parts, body)
    }
}

/// Sends the request over a link and takes the head of the answer. `asked` is the
/// protocol that the caller wants to switch to.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    permit: Permit,
    places: Places,
    request: Request<Incoming>,
    asked: Option<Protocol>,
    target: &ClusterTarget,
    record: &mut Record,
) -> Result<Answer, GatewayError> {
    let (mut parts, mut body) = request.into_parts();
    let version = parts.version;
    let callers_side = parts.extensions.remove::<OnUpgrade>();
    framing::take(&mut parts.headers)?;
    let mut revoked = Box::pin(permit.clone().revoked());
    let mut stop = None;
    let is_empty = match asked {
        Some(_) => false,
        None => has_none(&mut body, shared.response_timeout).await?,
    };
    let (link_request, switch) = match asked.zip(callers_side) {
        Some((protocol, callers_side)) => {
            let (writer, outgoing) = body_channel::channel();
            LinkUpgrade {
                protocol,
                method: parts.method.clone(),
            }
            .mark(&mut parts.headers);
            parts.method = Method::POST;
            (
                link_request(parts, pass(outgoing), target),
                Some((protocol, callers_side, writer)),
            )
        }
        None if is_empty => {
            record.sent.finish();
            (link_request(parts, http_relay::body::empty(), target), None)
        }
        None => {
            let revoked = permit.clone().revoked();
            // An answer that is dropped also ends the request's body, which otherwise
            // would go on in a task of the link's.
            let stopped = CancellationToken::new();
            stop = Some(stopped.clone().drop_guard());
            let ended = async move {
                tokio::select! {
                    reason = revoked => reason,
                    () = stopped.cancelled() => "the exchange has ended",
                }
            };
            let body = Inbound::new(body, version).edit(identity::clean_trailers);
            let body = relay(body, ended, record.sent.clone(), ());
            (link_request(parts, body, target), None)
        }
    };
    let (uri, limit) = (link_request.uri().clone(), shared.response_timeout);
    let is_watch = watch_end::is_asked_for(link_request.method(), &uri);
    let may_be_silent = is_long_running(&uri);
    let over_http2 = version == Version::HTTP_2;
    let waits = AtomicBool::new(false);
    let wait = Hold {
        at_most: shared.hold,
        ended: &shared.draining,
        waits: &waits,
    };
    let (response, mut slot, link) = tokio::select! {
        opened = shared.registry.open(&permit, link_request, over_http2, wait) => {
            // The stream is reset with its body: no fault of the link's.
            opened.map_err(|error| match record.sent.broken() {
                true => GatewayError::Cut,
                false => error.into(),
            })?
        }
        () = overdue(limit, &record.sent, &waits), if !may_be_silent => {
            return Err(GatewayError::Timeout(limit));
        }
        reason = revoked.as_mut() => return Err(GatewayError::Revoked(reason)),
    };
    record.link(&link);
    slot.receives(record.received.clone());

    let (mut parts, body) = response.into_parts();
    let body = Inbound::new(body, Version::HTTP_2).edit(trailers::clean);
    framing::check(&parts.headers).map_err(|error| GatewayError::Answer(error.to_string()))?;
    let switched = take_switched(&mut parts.headers);
    let failure = parts
        .headers
        .get(ERROR)
        .and_then(|code| Failure::from_code(code.as_bytes()))
        .filter(|failure| failure.is_of_the_clusters_side());
    clean_answer(&mut parts.headers, failure);
    browser::confine(&mut parts.headers, target, &shared.hosts);
    let (stalls, upload_cut) = (slot.stalls(), slot.upload_cut());
    let hold = (slot, stop);
    let is_stream =
        switched.is_some() || failure.is_none() && parts.status.is_success() && may_be_silent;
    let start_line = match is_stream {
        true => Some(shared.audit.stream_slot().await?),
        false => None,
    };
    match (switched, switch) {
        (Some(protocol), Some((asked, callers_side, writer))) if protocol == asked => {
            let stream = Stream {
                body,
                writer,
                callers_side,
                permit,
                stalls,
            };
            let spawner = shared.spawner.clone();
            let hold = (hold, places);
            let start = move |record| spawner.spawn(stream.run(record, hold).in_current_span());
            let (parts, _) = upgrade::switching(parts.headers, asked).into_parts();
            Ok(Answer {
                parts,
                outcome: Outcome::Upgraded,
                start_line,
                body: AnswerBody::Switch(Box::new(start)),
            })
        }
        (Some(_), _) => Err(GatewayError::Answer(
            "it switched to a protocol that was not asked for".into(),
        )),
        (None, _) => {
            let outcome = failure.map_or(Outcome::Answered, Outcome::Failed);
            let end = async move {
                tokio::select! {
                    reason = revoked => reason,
                    reason = upload_cut => reason,
                }
            };
            let body = match is_watch {
                true => watch_end::cleanly(&parts, body, shared.end_of_a_watch()),
                false => Err(body),
            };
            let stream: Box<dyn FnOnce(Record) -> RelayBody + Send> = match body {
                Ok(body) => Box::new(|record| stream(body, end, record, stalls, hold, places)),
                Err(body) => Box::new(|record| stream(body, end, record, stalls, hold, places)),
            };
            let mut fresh = Response::new(()).into_parts().0;
            (fresh.status, fresh.headers) = (parts.status, parts.headers);
            Ok(Answer {
                parts: fresh,
                outcome,
                start_line,
                body: AnswerBody::Stream(stream),
            })
        }
    }
}

/// Whether a request has no body. Over HTTP/2 one that says so may still be followed by
/// one, which breaks the stream: until its end has come it goes nowhere, as the next hop
/// takes its head for all of it. Trailers behind nothing are dropped.
async fn has_none(body: &mut Incoming, limit: Duration) -> Result<bool, GatewayError> {
    if body.is_end_stream() {
        return Ok(true);
    }
    if body.size_hint().exact() != Some(0) {
        return Ok(false);
    }
    // What it reads has no bytes: h2 ends a stream that has more than it said.
    let end = async {
        while !body.is_end_stream() {
            let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
            match frame {
                Some(Ok(_)) => {}
                // hyper takes some resets for an end.
                None if body.is_end_stream() => {}
                Some(Err(_)) | None => return Err(GatewayError::Cut),
            }
        }
        Ok(true)
    };
    let ended = timeout(limit, end).await;
    ended.unwrap_or(Err(GatewayError::Timeout(limit)))
}

/// The answer's body as the caller gets it, until `end` cuts it.
fn stream<B>(
    body: B,
    end: impl Future<Output = &'static str> + Send + 'static,
    record: Record,
    stalls: LinkStalls,
    hold: impl Send + 'static,
    places: Places,
) -> RelayBody
where
    B: Body<Data = Bytes, Error = RelayError> + Send + 'static,
{
    let (meter, told) = (record.received.clone(), record.cut.clone());
    let body = relay(body, pending(), meter, (record, hold));
    // A cut ends the stream over the link at once; a caller who reads nothing has an
    // open request until it does, or is gone.
    hold_answer(&stalls, body, end, told, places).0
}

/// Both directions of an upgraded connection.
struct Stream {
    body: Inbound<H2Received>,
    writer: BodyWriter,
    callers_side: OnUpgrade,
    permit: Permit,
    stalls: LinkStalls,
}

impl Stream {
    async fn run<H>(self, mut record: Record, hold: H) {
        let _hold = hold;
        let meters = SpliceMeters {
            outgoing: record.sent.clone(),
            incoming: record.received.clone(),
        };
        let body = pass(self.body);
        let (body, held) = hold_answer(&self.stalls, body, pending(), Arc::default(), ());
        let stalls = SpliceStalls {
            // The request's body on the link is held there.
            outgoing: None,
            incoming: Some(held),
        };
        let spliced = async {
            match timeout(SWITCH_TIMEOUT, self.callers_side).await {
                Ok(Ok(io)) => splice(TokioIo::new(io), body, self.writer, &meters, &stalls)
                    .await
                    .map_err(|error| error.to_string()),
                Ok(Err(error)) => Err(error_chain(&error)),
                Err(_) => Err("the caller did not switch in time".to_owned()),
            }
        };
        let ended = tokio::select! {
            ended = spliced => ended,
            reason = self.permit.revoked() => Err(reason.to_owned()),
        };
        if let Err(error) = ended {
            record.because(&error);
            tracing::debug!(error, "upgraded connection broke");
        }
    }
}

fn link_request(
    parts: http::request::Parts,
    body: RelayBody,
    target: &ClusterTarget,
) -> Request<RelayBody> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = link_uri(target);
    *request.headers_mut() = parts.headers;
    // The next hop names its own.
    headers::retain(request.headers_mut(), |name: &HeaderName| name != HOST);
    request
}

fn link_uri(target: &ClusterTarget) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("localhost"));
    parts.path_and_query = Some(target.path.clone());
    // All three are there, which is all that is asked for.
    Uri::from_parts(parts).unwrap_or_default()
}

/// The cluster is a stranger: of our own headers it may only set the code of a
/// failure that can happen on its side.
fn clean_answer(headers: &mut HeaderMap, failure: Option<Failure>) {
    headers::remove_hop_by_hop(headers);
    headers::remove_ours(headers, &[]);
    if let Some(failure) = failure {
        headers.insert(ERROR, HeaderValue::from_static(failure.code()));
    }
}
