//! What the server counts.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use service_kit::label_values;
use service_kit::metrics::By;
use tunnel_protocol::Failure;

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

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: By<&'static str>,
    open: Gauge,
    bytes: By<Direction>,
    handshakes: By<Handshake>,
    reloads: By<Reload>,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry, links: Gauge) {
        registry.register(
            "tunnel_server_requests",
            "Callers' requests by how they were answered",
            self.requests.clone(),
        );
        registry.register(
            "tunnel_server_open_requests",
            "Requests and upgraded connections now open",
            self.open.clone(),
        );
        registry.register(
            "tunnel_server_body_bytes",
            "Bytes of ended requests' bodies",
            self.bytes.clone(),
        );
        registry.register(
            "tunnel_server_handshakes",
            "Links' handshakes",
            self.handshakes.clone(),
        );
        registry.register(
            "tunnel_server_config_reloads",
            "Changes of the configuration file",
            self.reloads.clone(),
        );
        registry.register("tunnel_server_links", "Links now registered", links);
    }

    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    pub(crate) fn ended(&self, outcome: Outcome, sent: u64, received: u64) {
        self.open.dec();
        self.requests
            .get_or_create(&[("outcome", outcome.code())])
            .inc();
        self.bytes
            .get_or_create(&[("direction", Direction::Request)])
            .inc_by(sent);
        self.bytes
            .get_or_create(&[("direction", Direction::Response)])
            .inc_by(received);
    }

    pub(crate) fn handshake(&self, outcome: Handshake) {
        self.handshakes.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn reload(&self, outcome: Reload) {
        self.reloads.get_or_create(&[("outcome", outcome)]).inc();
    }
}
