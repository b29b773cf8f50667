//! What the sidecar counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Answered,
    Upgraded,
    Refused,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    open: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
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
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts as open until it is dropped.
    pub(crate) fn open(&self) -> OpenRequest {
        self.open.inc();
        OpenRequest(self.open.clone())
    }
}

#[derive(Debug)]
pub(crate) struct OpenRequest(Gauge);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}
