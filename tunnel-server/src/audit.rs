//! One record a request, written when it ends, however it ends: by Drop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http_relay::Meter;
use tunnel_protocol::ClusterName;

use crate::access::Caller;
use crate::metrics::{Metrics, Outcome};

/// What is known of a request so far. Held by whatever lives longest of it: the
/// answer's body, or the upgraded connection.
pub(crate) struct Record {
    metrics: Metrics,
    started: Instant,
    peer: SocketAddr,
    method: http::Method,
    path: String,
    caller: Option<Arc<Caller>>,
    cluster: Option<ClusterName>,
    status: Option<StatusCode>,
    outcome: Outcome,
    /// From the caller.
    pub(crate) sent: Arc<Meter>,
    /// To the caller.
    pub(crate) received: Arc<Meter>,
    span: tracing::Span,
}

impl Record {
    /// The query is left out: it may hold what a log should not.
    pub(crate) fn start(
        metrics: Metrics,
        peer: SocketAddr,
        method: &http::Method,
        path: &str,
    ) -> Self {
        metrics.opened();
        Self {
            metrics,
            started: Instant::now(),
            peer,
            method: method.clone(),
            path: path.to_owned(),
            caller: None,
            cluster: None,
            status: None,
            outcome: Outcome::Abandoned,
            sent: Arc::default(),
            received: Arc::default(),
            span: tracing::Span::current(),
        }
    }

    pub(crate) fn caller(&mut self, caller: &Arc<Caller>) {
        self.caller = Some(caller.clone());
    }

    pub(crate) fn cluster(&mut self, cluster: &ClusterName) {
        self.cluster = Some(cluster.clone());
    }

    pub(crate) fn answered(&mut self, outcome: Outcome, status: StatusCode) {
        if matches!(outcome, Outcome::Answered | Outcome::Upgraded) {
            self.metrics.head(self.started.elapsed());
        }
        self.outcome = outcome;
        self.status = Some(status);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let _in_span = self.span.enter();
        self.metrics
            .ended(self.outcome, self.sent.bytes(), self.received.bytes());
        tracing::info!(
            peer = %self.peer,
            caller = self.caller.as_ref().map(|caller| &*caller.name),
            token = self.caller.as_ref().map(|caller| &*caller.token_name),
            cluster = self.cluster.as_ref().map(ClusterName::as_str),
            method = %self.method,
            path = self.path,
            status = self.status.map(|status| status.as_u16()),
            outcome = self.outcome.code(),
            bytes_sent = self.sent.bytes(),
            bytes_received = self.received.bytes(),
            whole = self.received.finished(),
            millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}
