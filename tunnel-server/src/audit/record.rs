//! What is told of one request: by Drop when it ends, however it ends.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_relay::{Meter, mask};
use request_info::{RequestInfo, Resource};
use time::OffsetDateTime;
use tunnel_protocol::ClusterName;

use super::line::{RequestLine, written};
use super::queue::{Entry, Slot};
use crate::access::{Caller, Grant};
use crate::client_address::ClientAddress;
use crate::links::LinkName;
use crate::metrics::{Metrics, Outcome};

/// How a caller has proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthenticatedBy {
    AccessToken,
    /// An access token among the WebSocket's subprotocols.
    AccessTokenSubprotocol,
}

impl AuthenticatedBy {
    fn word(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::AccessTokenSubprotocol => "access_token_subprotocol",
        }
    }
}

/// What became of the question whether the request may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The caller was gone before the answer.
    #[default]
    Undecided,
    /// Nobody asked: the request is malformed, too much, or for nothing that is here.
    Refused,
    Unauthenticated,
    Denied,
    Allowed,
}

impl Decision {
    fn word(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Refused => "refused",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Allowed => "allowed",
        }
    }
}

/// A request as it came.
pub(crate) struct Start<'a> {
    pub(crate) id: &'a HeaderValue,
    pub(crate) client: ClientAddress,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    /// What the cluster sees; of a request that is for no cluster what was asked.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    /// Whether it is for a Kubernetes API.
    pub(crate) is_api: bool,
}

/// What is known of a request so far. Held by whatever lives longest of it: the
/// answer's body, or the upgraded connection.
pub(crate) struct Record {
    slot: Option<Slot>,
    facts: Facts,
    metrics: Arc<Metrics>,
    started: Instant,
    outcome: Outcome,
    /// From the caller.
    pub(crate) sent: Arc<Meter>,
    /// To the caller.
    pub(crate) received: Arc<Meter>,
    /// Why we ended it in its midst.
    pub(crate) cut: Arc<OnceLock<&'static str>>,
    span: tracing::Span,
}

/// What lines tell, masked already.
#[derive(Clone, Default)]
struct Facts {
    request_id: String,
    client: Option<ClientAddress>,
    user_agent: Option<String>,
    method: String,
    path: String,
    query: Option<String>,
    verb: String,
    resource: Resource,
    caller: Option<Arc<Caller>>,
    authenticated_by: Option<AuthenticatedBy>,
    cluster: Option<ClusterName>,
    link: Option<Arc<LinkName>>,
    decision: Decision,
    rule: Option<Grant>,
    reason: Option<String>,
    status: Option<StatusCode>,
}

/// A line to be.
pub(super) struct RequestEvent {
    at: OffsetDateTime,
    facts: Facts,
    /// Nothing for a stream that has just started.
    ending: Option<Ending>,
}

struct Ending {
    outcome: Outcome,
    sent: u64,
    received: u64,
    whole: bool,
    millis: u64,
}

impl Record {
    pub(crate) fn start(slot: Slot, metrics: Arc<Metrics>, request: &Start<'_>) -> Self {
        metrics.opened();
        Self {
            slot: Some(slot),
            facts: Facts::of(request),
            metrics,
            started: Instant::now(),
            outcome: Outcome::Abandoned,
            sent: Arc::default(),
            received: Arc::default(),
            cut: Arc::default(),
            span: tracing::Span::current(),
        }
    }

    pub(crate) fn caller(&mut self, caller: &Arc<Caller>, by: AuthenticatedBy) {
        self.facts.caller = Some(caller.clone());
        self.facts.authenticated_by = Some(by);
    }

    pub(crate) fn cluster(&mut self, cluster: &ClusterName) {
        self.facts.cluster = Some(cluster.clone());
    }

    pub(crate) fn allowed(&mut self, grant: &Grant) {
        self.facts.decision = Decision::Allowed;
        self.facts.rule = Some(grant.clone());
    }

    pub(crate) fn link(&mut self, link: &Arc<LinkName>) {
        self.facts.link = Some(link.clone());
    }

    pub(crate) fn answered(&mut self, outcome: Outcome, status: StatusCode) {
        if matches!(outcome, Outcome::Answered | Outcome::Upgraded) {
            self.metrics.head(self.started.elapsed());
        }
        self.outcome = outcome;
        self.facts.status = Some(status);
    }

    /// Answered by us; what was decided stays so, unless there is another decision.
    pub(crate) fn failed(&mut self, decision: Option<Decision>, reason: &str) {
        self.facts.decision = decision.unwrap_or(self.facts.decision);
        self.because(reason);
    }

    /// Whether its credential was accepted.
    pub(crate) fn is_proved(&self) -> bool {
        self.facts.caller.is_some()
    }

    /// It has no line of its own.
    pub(crate) fn unwritten(&mut self) {
        self.slot = None;
    }

    /// Why it ended as it did.
    pub(crate) fn because(&mut self, reason: &str) {
        self.facts.reason = Some(mask::text(reason));
    }

    /// A stream has started: it is told now, as its end may be far.
    pub(crate) fn stream_started(&self, slot: Slot) {
        slot.tell(Entry::Request(Box::new(RequestEvent {
            at: OffsetDateTime::now_utc(),
            facts: self.facts.clone(),
            ending: None,
        })));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let _in_span = self.span.enter();
        let (sent, received) = (self.sent.bytes(), self.received.bytes());
        self.metrics.ended(self.outcome, sent, received);
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = self.outcome.code();
        tracing::debug!(outcome, millis, "request");
        if let Some(reason) = self.cut.get() {
            self.facts.reason = Some((*reason).to_owned());
        }
        let event = RequestEvent {
            at: OffsetDateTime::now_utc(),
            facts: std::mem::take(&mut self.facts),
            ending: Some(Ending {
                outcome: self.outcome,
                sent,
                received,
                whole: self.received.finished(),
                millis,
            }),
        };
        if let Some(slot) = self.slot.take() {
            slot.tell(Entry::Request(Box::new(event)));
        }
    }
}

impl Facts {
    fn of(request: &Start<'_>) -> Self {
        let method = request.method.as_str();
        let info = request
            .is_api
            .then(|| RequestInfo::read(method, request.path, request.query).ok())
            .flatten();
        let (verb, resource) = info.map(masked).unwrap_or_default();
        let agent = request.headers.get(USER_AGENT);
        Self {
            request_id: String::from_utf8_lossy(request.id.as_bytes()).into_owned(),
            client: Some(request.client),
            user_agent: agent.map(|agent| mask::text(&String::from_utf8_lossy(agent.as_bytes()))),
            method: mask::text(method),
            path: mask::path(request.path),
            query: request.query.map(mask::query),
            verb,
            resource,
            ..Self::default()
        }
    }
}

fn masked(info: RequestInfo) -> (String, Resource) {
    let Resource {
        group,
        version,
        resource,
        subresource,
        namespace,
        name,
    } = info.resource.unwrap_or_default();
    let resource = Resource {
        group: mask::owned(group),
        version: mask::owned(version),
        resource: mask::owned(resource),
        subresource: mask::owned(subresource),
        namespace: mask::owned(namespace),
        name: mask::owned(name),
    };
    (mask::owned(info.verb), resource)
}

impl RequestEvent {
    pub(super) fn line(&self) -> RequestLine<'_> {
        let facts = &self.facts;
        let ending = self.ending.as_ref();
        RequestLine {
            event: ending.map_or("stream_started", |_| "request"),
            time: written(self.at),
            request_id: &facts.request_id,
            client_address: facts.client,
            user_agent: facts.user_agent.as_deref(),
            caller: facts.caller.as_ref().map(|caller| &*caller.name),
            token: facts.caller.as_ref().map(|caller| &*caller.token_name),
            authenticated_by: facts.authenticated_by.map(AuthenticatedBy::word),
            cluster: facts.cluster.as_ref().map(ClusterName::as_str),
            link_id: facts.link.as_ref().map(|link| link.id),
            link_instance: facts.link.as_ref().map(|link| link.instance.as_str()),
            method: &facts.method,
            path: &facts.path,
            query: facts.query.as_deref(),
            verb: &facts.verb,
            api_group: &facts.resource.group,
            api_version: &facts.resource.version,
            resource: &facts.resource.resource,
            subresource: &facts.resource.subresource,
            namespace: &facts.resource.namespace,
            name: &facts.resource.name,
            decision: facts.decision.word(),
            rule: facts.rule.as_ref(),
            reason: facts.reason.as_deref(),
            status: facts.status.map(|status| status.as_u16()),
            outcome: ending.map(|ending| ending.outcome.code()),
            request_bytes: ending.map(|ending| ending.sent),
            response_bytes: ending.map(|ending| ending.received),
            whole: ending.map(|ending| ending.whole),
            duration_ms: ending.map(|ending| ending.millis),
        }
    }
}

/// A path and query that were not read any further.
pub(crate) fn as_asked(uri: &Uri) -> (&str, Option<&str>) {
    (uri.path(), uri.query())
}
