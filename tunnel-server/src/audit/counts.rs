//! What is counted of the audit log.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    lines: Counter,
    failures: Counter,
    unrecorded: Counter,
    current: Gauge,
}

impl Counts {
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.current.set(1);
        registry.register(
            "tunnel_server_audit_lines",
            "Lines written to the audit log",
            self.lines.clone(),
        );
        registry.register(
            "tunnel_server_audit_failures",
            "Attempts to write to the audit log that failed; the lines are kept and tried again",
            self.failures.clone(),
        );
        registry.register(
            "tunnel_server_audit_unrecorded",
            "Lines that were not written to the audit log: of what passed without, with --audit-failure pass, and at the end",
            self.unrecorded.clone(),
        );
        registry.register(
            "tunnel_server_audit_current",
            "Whether the audit log can be written, 1 or 0",
            self.current.clone(),
        );
    }

    pub(super) fn written(&self, lines: u64) {
        self.lines.inc_by(lines);
        self.current.set(1);
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
        self.current.set(0);
    }

    pub(super) fn unavailable(&self) {
        self.current.set(0);
    }

    pub(super) fn unrecorded(&self, lines: u64) {
        self.unrecorded.inc_by(lines);
    }
}
