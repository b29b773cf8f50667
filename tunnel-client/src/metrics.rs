//! What tunnel-client counts.

use http_relay::stall_budget::Look;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use service_kit::label_values;
use service_kit::metrics::{By, Counted, show_all};

label_values! {
    /// How a request ended.
    pub(crate) enum Outcome {
        Answered = "answered",
        Upgraded = "upgraded",
        SidecarUnreachable = "sidecar_unreachable",
        SidecarBroken = "sidecar_broken",
        SidecarSecret = "sidecar_secret",
        BadAnswer = "bad_answer",
        BadRequest = "bad_request",
        Overloaded = "overloaded",
    }
}

label_values! {
    /// How an attempt to get a link ended.
    pub(crate) enum Attempt {
        Linked = "linked",
        Failed = "failed",
        Refused = "refused",
        /// Its replica had a link already.
        Doubled = "doubled",
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: By<Outcome>,
    attempts: By<Attempt>,
    open: Gauge,
    links: Gauge,
    stalled: Gauge,
    stalled_cut: Counter,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        show_all(&self.requests, "outcome", Outcome::ALL.iter().copied());
        show_all(&self.attempts, "outcome", Attempt::ALL.iter().copied());
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
        registry.register(
            "tunnel_client_stalled_streams",
            "Streams whose readers have taken nothing for 5 s",
            self.stalled.clone(),
        );
        registry.register(
            "tunnel_client_stalled_streams_cut",
            "Streams that were cut as their readers took nothing and memory ran short",
            self.stalled_cut.clone(),
        );
    }

    pub(crate) fn request(&self, outcome: Outcome) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// The budget for streams that stand still has looked at them.
    pub(crate) fn stalled(&self, look: Look) {
        if let Some(stalled) = look.stalled {
            self.stalled.set(i64::try_from(stalled).unwrap_or(i64::MAX));
        }
        self.stalled_cut.inc_by(look.cut as u64);
    }

    pub(crate) fn attempt(&self, outcome: Attempt) {
        self.attempts.get_or_create(&[("outcome", outcome)]).inc();
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
