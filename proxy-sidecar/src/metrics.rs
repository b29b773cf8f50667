//! What the sidecar counts.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use service_kit::label_values;
use service_kit::metrics::{By, Counted, show_all};

label_values! {
    /// How a request ended.
    pub(crate) enum Outcome {
        Answered = "answered",
        Upgraded = "upgraded",
        Refused = "refused",
        Unproved = "unproved",
        CredentialUnavailable = "credential_unavailable",
        ApiServerUnreachable = "api_server_unreachable",
        Failed = "failed",
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: By<Outcome>,
    open: Gauge,
    pub(crate) upstream_connections: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        show_all(&self.requests, "outcome", Outcome::ALL.iter().copied());
        registry.register(
            "proxy_sidecar_requests",
            "Requests by how they were answered",
            self.requests.clone(),
        );
        registry.register(
            "proxy_sidecar_open_requests",
            "Requests and upgraded connections now open",
            self.open.clone(),
        );
        registry.register(
            "proxy_sidecar_upstream_connections",
            "Connections to the API server now open, without those that switched protocols",
            self.upstream_connections.clone(),
        );
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts as open until it is dropped.
    pub(crate) fn open(&self) -> Counted {
        Counted::new(&self.open)
    }
}
