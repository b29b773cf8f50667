//! What is told of one handshake, and of the link that comes of it.

use std::borrow::Cow;
use std::time::Instant;

use http::HeaderValue;
use http_relay::mask;
use time::OffsetDateTime;
use tunnel_protocol::ClusterName;

use super::line::{LinkLine, written};
use super::queue::{Audit, Entry, Slot, Unavailable};
use crate::client_address::ClientAddress;

/// A handshake that is not decided yet; then a link. Its end is told by Drop.
pub(crate) struct LinkRecord {
    /// Nothing once it is used.
    decided: Option<Slot>,
    ended: Option<Slot>,
    facts: Facts,
    since: Instant,
}

#[derive(Clone, Default)]
struct Facts {
    request_id: String,
    client: Option<ClientAddress>,
    cluster: Option<ClusterName>,
    link_id: Option<u64>,
    instance: Option<String>,
    outcome: Option<&'static str>,
    reason: Option<Cow<'static, str>>,
}

/// A line to be.
pub(super) struct LinkEvent {
    at: OffsetDateTime,
    state: &'static str,
    facts: Facts,
    millis: Option<u64>,
}

impl LinkRecord {
    /// Takes the places of both lines: a link that is accepted has an end.
    pub(crate) async fn start(
        audit: &Audit,
        id: &HeaderValue,
        client: ClientAddress,
    ) -> Result<Self, Unavailable> {
        Ok(Self {
            decided: Some(audit.slot().await?),
            ended: Some(audit.slot().await?),
            facts: Facts {
                request_id: String::from_utf8_lossy(id.as_bytes()).into_owned(),
                client: Some(client),
                ..Facts::default()
            },
            since: Instant::now(),
        })
    }

    pub(crate) fn refused(mut self, code: &'static str, reason: &str) {
        self.facts.outcome = Some(code);
        self.facts.reason = Some(mask::text(reason).into());
        // There is no link that could end.
        self.ended = None;
        self.decide("refused");
    }

    /// `instance` is what the connector says of itself.
    pub(crate) fn accepted(&mut self, cluster: &ClusterName, link_id: u64, instance: &str) {
        self.facts.instance = Some(mask::text(instance));
        self.facts.cluster = Some(cluster.clone());
        self.facts.link_id = Some(link_id);
        self.decide("accepted");
    }

    /// Why the link ended.
    pub(crate) fn because(&mut self, reason: impl Into<Cow<'static, str>>) {
        self.facts.reason = Some(reason.into());
    }

    fn decide(&mut self, state: &'static str) {
        let facts = self.facts.clone();
        if let Some(slot) = self.decided.take() {
            tell(slot, state, facts, None);
        }
    }
}

impl Drop for LinkRecord {
    fn drop(&mut self) {
        // One that was never decided has no end of its own: its connection went.
        let (None, Some(slot)) = (&self.decided, self.ended.take()) else {
            return;
        };
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(slot, "ended", std::mem::take(&mut self.facts), Some(millis));
    }
}

fn tell(slot: Slot, state: &'static str, facts: Facts, millis: Option<u64>) {
    slot.tell(Entry::Link(Box::new(LinkEvent {
        at: OffsetDateTime::now_utc(),
        state,
        facts,
        millis,
    })));
}

impl LinkEvent {
    pub(super) fn line(&self) -> LinkLine<'_> {
        let facts = &self.facts;
        LinkLine {
            event: "link",
            time: written(self.at),
            state: self.state,
            request_id: &facts.request_id,
            client_address: facts.client,
            cluster: facts.cluster.as_ref().map(ClusterName::as_str),
            link_id: facts.link_id,
            link_instance: facts.instance.as_deref(),
            outcome: facts.outcome,
            reason: facts.reason.as_deref().map(Cow::from),
            duration_ms: self.millis,
        }
    }
}
