//! What the server counts.

use std::time::Duration;

use http_relay::stall_budget::Look;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use service_kit::label_values;
use service_kit::metered::Traffic;
use service_kit::metrics::{By, Counted, show_all};
use tunnel_protocol::Failure;

use crate::audit::Counts;

/// How a request was answered: by the cluster, or by us and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Answered,
    Upgraded,
    /// The caller went away before there was an answer.
    Abandoned,
    Failed(Failure),
}

impl Outcome {
    fn all() -> impl Iterator<Item = Self> {
        let failed = Failure::ALL.iter().copied().map(Self::Failed);
        [Self::Answered, Self::Upgraded, Self::Abandoned]
            .into_iter()
            .chain(failed)
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Upgraded => "upgraded",
            Self::Abandoned => "abandoned",
            Self::Failed(failure) => failure.code(),
        }
    }
}

label_values! {
    /// How a handshake ended.
    pub(crate) enum Handshake {
        Accepted = "accepted",
        Refused = "refused",
        Shed = "shed",
        Limited = "limited",
    }
}

label_values! {
    /// Why a connection that had proved nothing was ended.
    pub(crate) enum UnprovedEnd {
        Late = "late",
        CrowdedOut = "crowded-out",
    }
}

label_values! {
    /// What connections began with, where PROXY protocol is required or forbidden.
    pub(crate) enum ProxyProtocolFault {
        Missing = "missing",
        Malformed = "malformed",
        Unexpected = "unexpected",
    }
}

label_values! {
    /// How a changed configuration was taken.
    pub(crate) enum Reload {
        Applied = "applied",
        Refused = "refused",
    }
}

label_values! {
    /// Seen from the caller.
    pub(crate) enum Direction {
        Request = "request",
        Response = "response",
    }
}

label_values! {
    /// Seen from here; with what TLS leaves of it.
    pub(crate) enum LinkDirection {
        Received = "received",
        Sent = "sent",
    }
}

/// Seconds, from within a machine to what hardly works.
const ROUND_TRIP_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// Seconds, from what flaps to weeks.
const LIFETIME_BUCKETS: [f64; 8] = [1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604_800.0];

/// Seconds, from what a cache answers to [`tunnel_protocol::limits::RESPONSE_HEADERS`].
const HEAD_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 75.0,
];

/// Times of three kinds.
#[derive(Clone, Debug)]
struct Times {
    heads: Histogram,
    round_trips: Histogram,
    lifetimes: Histogram,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heads: Histogram::new(HEAD_BUCKETS),
            round_trips: Histogram::new(ROUND_TRIP_BUCKETS),
            lifetimes: Histogram::new(LIFETIME_BUCKETS),
        }
    }
}

/// Nearly all are answered: their counter is not looked up for each.
#[derive(Debug)]
struct Requests {
    by_outcome: By<&'static str>,
    answered: Counter,
}

impl Default for Requests {
    fn default() -> Self {
        let by_outcome = By::default();
        let labels = [("outcome", Outcome::Answered.code())];
        let answered = Counter::clone(&by_outcome.get_or_create(&labels));
        Self {
            answered,
            by_outcome,
        }
    }
}

/// Neither are these.
#[derive(Debug)]
struct BodyBytes {
    by_direction: By<Direction>,
    request: Counter,
    response: Counter,
}

impl Default for BodyBytes {
    fn default() -> Self {
        let by_direction = By::default();
        let of = |direction| {
            by_direction
                .get_or_create(&[("direction", direction)])
                .clone()
        };
        let (request, response) = (of(Direction::Request), of(Direction::Response));
        Self {
            by_direction,
            request,
            response,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Requests,
    open: Gauge,
    bytes: BodyBytes,
    handshakes: By<Handshake>,
    stalled: Gauge,
    stalled_cut: Counter,
    reloads: By<Reload>,
    times: Times,
    link_bytes: By<LinkDirection>,
    pub(crate) audit: Counts,
    connections: Gauge,
    connections_refused: Counter,
    unproved: Gauge,
    unproved_ended: By<UnprovedEnd>,
    unwritten: Counter,
    proxy_protocol_faults: By<ProxyProtocolFault>,
    config_current: Gauge,
    certificate_current: Gauge,
    certificate_expires: Gauge,
}

impl Metrics {
    /// `has_certificate` is not so where TLS is ended before the server.
    pub(crate) fn register(&self, registry: &mut Registry, links: Gauge, has_certificate: bool) {
        let outcomes = Outcome::all().map(Outcome::code);
        show_all(&self.requests.by_outcome, "outcome", outcomes);
        show_all(
            &self.bytes.by_direction,
            "direction",
            Direction::ALL.iter().copied(),
        );
        show_all(&self.handshakes, "outcome", Handshake::ALL.iter().copied());
        let ends = UnprovedEnd::ALL.iter().copied();
        show_all(&self.unproved_ended, "reason", ends);
        show_all(&self.reloads, "outcome", Reload::ALL.iter().copied());
        self.config_current.set(1);
        if has_certificate {
            self.register_certificate(registry);
        }
        self.register_connections(registry);
        self.audit.register(registry);
        registry.register(
            "tunnel_server_requests",
            "Callers' requests by how they were answered",
            self.requests.by_outcome.clone(),
        );
        registry.register(
            "tunnel_server_open_requests",
            "Requests and upgraded connections now open",
            self.open.clone(),
        );
        registry.register(
            "tunnel_server_body_bytes",
            "Bytes of ended requests' bodies",
            self.bytes.by_direction.clone(),
        );
        registry.register(
            "tunnel_server_handshakes",
            "Links' handshakes",
            self.handshakes.clone(),
        );
        registry.register(
            "tunnel_server_stalled_streams",
            "Streams whose readers have taken nothing for 5 s",
            self.stalled.clone(),
        );
        registry.register(
            "tunnel_server_stalled_streams_cut",
            "Streams that were cut as their readers took nothing and memory ran short",
            self.stalled_cut.clone(),
        );
        registry.register(
            "tunnel_server_config_reloads",
            "Changes of the configuration file",
            self.reloads.clone(),
        );
        self.register_links(registry, links);
        registry.register(
            "tunnel_server_response_head_seconds",
            "Time from a request's head to the head of its cluster's answer",
            self.times.heads.clone(),
        );
        registry.register(
            "tunnel_server_config_current",
            "Whether the configuration file is the one in force, 1 or 0: a file with faults is refused",
            self.config_current.clone(),
        );
    }

    fn register_connections(&self, registry: &mut Registry) {
        let faults = ProxyProtocolFault::ALL.iter().copied();
        show_all(&self.proxy_protocol_faults, "reason", faults);
        registry.register(
            "tunnel_server_proxy_protocol_faults",
            "Connections cut as they began without the PROXY protocol that is required, or with one that is forbidden",
            self.proxy_protocol_faults.clone(),
        );
        registry.register(
            "tunnel_server_connections",
            "Public connections now open, links among them",
            self.connections.clone(),
        );
        registry.register(
            "tunnel_server_connections_refused",
            "Connections closed at once, as their address had too many that proved nothing",
            self.connections_refused.clone(),
        );
        registry.register(
            "tunnel_server_unproved_connections",
            "Public connections now open that have not proved who they are",
            self.unproved.clone(),
        );
        registry.register(
            "tunnel_server_unproved_connections_ended",
            "Connections ended as they had not proved in time who they are, or had to make room",
            self.unproved_ended.clone(),
        );
        registry.register(
            "tunnel_server_unproved_requests_unwritten",
            "Requests and handshakes refused without a line of their own, as their address sent too many that proved nothing",
            self.unwritten.clone(),
        );
    }

    fn register_links(&self, registry: &mut Registry, links: Gauge) {
        let directions = LinkDirection::ALL.iter().copied();
        show_all(&self.link_bytes, "direction", directions);
        registry.register("tunnel_server_links", "Links now registered", links);
        registry.register(
            "tunnel_server_link_bytes",
            "Bytes that links carried, of HTTP/2",
            self.link_bytes.clone(),
        );
        registry.register(
            "tunnel_server_link_round_trip_seconds",
            "Time from a question on a link to its answer, which waits behind what is queued there",
            self.times.round_trips.clone(),
        );
        registry.register(
            "tunnel_server_link_lifetime_seconds",
            "How long links lived that have ended",
            self.times.lifetimes.clone(),
        );
    }

    fn register_certificate(&self, registry: &mut Registry) {
        registry.register(
            "tunnel_server_certificate_current",
            "Whether the certificate's files are what is in use, 1 or 0: damaged ones are refused",
            self.certificate_current.clone(),
        );
        registry.register(
            "tunnel_server_certificate_expires_timestamp_seconds",
            "When the certificate in use expires, seconds since 1970",
            self.certificate_expires.clone(),
        );
    }

    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    pub(crate) fn ended(&self, outcome: Outcome, sent: u64, received: u64) {
        self.open.dec();
        if outcome == Outcome::Answered {
            self.requests.answered.inc();
        } else {
            let by_outcome = &self.requests.by_outcome;
            by_outcome
                .get_or_create(&[("outcome", outcome.code())])
                .inc();
        }
        self.bytes.request.inc_by(sent);
        self.bytes.response.inc_by(received);
    }

    /// Counts a public connection until it is dropped.
    pub(crate) fn connection(&self) -> Counted {
        Counted::new(&self.connections)
    }

    pub(crate) fn proxy_protocol_fault(&self, reason: ProxyProtocolFault) {
        self.proxy_protocol_faults
            .get_or_create(&[("reason", reason)])
            .inc();
    }

    pub(crate) fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Of connections that have not proved anything.
    pub(crate) fn unproved(&self) -> Gauge {
        self.unproved.clone()
    }

    pub(crate) fn unproved_ended(&self, reason: UnprovedEnd) {
        self.unproved_ended
            .get_or_create(&[("reason", reason)])
            .inc();
    }

    /// A request or handshake that has no line in the audit log.
    pub(crate) fn unwritten(&self) {
        self.unwritten.inc();
    }

    /// The budget for streams that stand still has looked at them.
    pub(crate) fn stalled(&self, look: Look) {
        if let Some(stalled) = look.stalled {
            self.stalled.set(i64::try_from(stalled).unwrap_or(i64::MAX));
        }
        self.stalled_cut.inc_by(look.cut as u64);
    }

    pub(crate) fn handshake(&self, outcome: Handshake) {
        self.handshakes.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// What links carry, all together.
    pub(crate) fn link_traffic(&self) -> Traffic {
        let bytes = |direction| {
            self.link_bytes
                .get_or_create(&[("direction", direction)])
                .clone()
        };
        Traffic {
            received: bytes(LinkDirection::Received),
            sent: bytes(LinkDirection::Sent),
        }
    }

    /// Of a link, as it was just measured.
    pub(crate) fn round_trip(&self, took: Duration) {
        self.times.round_trips.observe(took.as_secs_f64());
    }

    pub(crate) fn link_ended(&self, lived: Duration) {
        self.times.lifetimes.observe(lived.as_secs_f64());
    }

    /// The cluster has answered.
    pub(crate) fn head(&self, after: Duration) {
        self.times.heads.observe(after.as_secs_f64());
    }

    /// The certificate that is in use from now on.
    pub(crate) fn certificate(&self, expires: Option<i64>) {
        self.certificate_current.set(1);
        self.certificate_expires.set(expires.unwrap_or_default());
    }

    /// The certificate's files have changed and cannot be used.
    pub(crate) fn certificate_refused(&self) {
        self.certificate_current.set(0);
    }

    /// Whether the file is what is in force.
    pub(crate) fn configuration_is_current(&self, is_current: bool) {
        self.config_current.set(is_current.into());
    }

    pub(crate) fn reload(&self, outcome: Reload) {
        self.reloads.get_or_create(&[("outcome", outcome)]).inc();
        self.configuration_is_current(outcome == Reload::Applied);
    }
}
