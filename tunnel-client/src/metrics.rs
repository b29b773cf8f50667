//! What tunnel-client counts.

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
    SidecarUnreachable,
    SidecarBroken,
    BadAnswer,
}

/// How an attempt to get a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Attempt {
    Linked,
    Failed,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabel {
    outcome: Attempt,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    attempts: Family<AttemptLabel, Counter>,
    open: Gauge,
    links: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "tunnel_client_requests",
            "Requests by how they were answered",
            self.requests.clone(),
        );
        registry.register(
            "tunnel_client_attempts",
            "Attempts to get a link",
            self.attempts.clone(),
        );
        registry.register(
            "tunnel_client_open_requests",
            "Requests and upgraded streams now open",
            self.open.clone(),
        );
        registry.register(
            "tunnel_client_links",
            "Links now registered",
            self.links.clone(),
        );
    }

    pub(crate) fn request(&self, outcome: Outcome) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn attempt(&self, outcome: Attempt) {
        self.attempts.get_or_create(&AttemptLabel { outcome }).inc();
    }

    pub(crate) fn open_request(&self) -> Counted {
        Counted::new(&self.open)
    }

    pub(crate) fn registered_link(&self) -> Counted {
        Counted::new(&self.links)
    }

    pub(crate) fn has_link(&self) -> bool {
        self.links.get() > 0
    }
}

/// Counts in a gauge until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
