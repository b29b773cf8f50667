//! The section `limits` of the configuration file.

use super::reader::{Reader, Section};
use crate::limits::{LimitSettings, Share};

/// Reads the section; what is not there stays at its default.
pub(super) fn limits(reader: &mut Reader, root: &mut Section<'_>) -> LimitSettings {
    let mut settings = LimitSettings::default();
    let Some(value) = root.get("limits") else {
        return settings;
    };
    let mut section = reader.section("limits", value);
    subsection(reader, &mut section, "perAddress", |reader, address| {
        let per_address = &mut settings.per_address;
        let connections = &mut per_address.unproved_connections;
        count(reader, address, "unprovedConnections", connections);
        let requests = &mut per_address.unproved_requests_per_minute;
        count(reader, address, "unprovedRequestsPerMinute", requests);
        let failures = &mut per_address.failures_per_minute;
        count(reader, address, "failuresPerMinute", failures);
    });
    subsection(reader, &mut section, "perCaller", |reader, caller| {
        share(reader, caller, &mut settings.per_caller);
        let connections = &mut settings.caller_connections;
        count(reader, caller, "connections", connections);
    });
    subsection(reader, &mut section, "perCluster", |reader, cluster| {
        share(reader, cluster, &mut settings.per_cluster);
        let handshakes = &mut settings.cluster_handshakes;
        count(reader, cluster, "handshakesPerMinute", handshakes);
    });
    reader.close(&section);
    settings
}

fn subsection(
    reader: &mut Reader,
    parent: &mut Section<'_>,
    key: &'static str,
    read: impl FnOnce(&mut Reader, &mut Section<'_>),
) {
    let Some(value) = parent.get(key) else { return };
    let mut section = reader.section(&parent.path(key), value);
    read(reader, &mut section);
    reader.close(&section);
}

fn share(reader: &mut Reader, section: &mut Section<'_>, share: &mut Share) {
    let rate = &mut share.requests_per_second;
    count(reader, section, "requestsPerSecond", rate);
    count(reader, section, "openRequests", &mut share.open_requests);
}

fn count(reader: &mut Reader, section: &mut Section<'_>, key: &'static str, into: &mut u32) {
    let Some(value) = section.get(key) else {
        return;
    };
    match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
        Some(count) => *into = count,
        None => reader.fault(&section.path(key), FAULT),
    }
}

const FAULT: &str = "is not a count, 0 to 4294967295; 0 means no limit";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(document: Value) -> (LimitSettings, Vec<String>) {
        let mut reader = Reader::default();
        let mut root = reader.section("", &document);
        let settings = limits(&mut reader, &mut root);
        (settings, reader.into_faults())
    }

    #[test]
    fn what_is_not_there_stays_at_its_default() {
        let document = serde_json::json!({"limits": {
            "perAddress": {"failuresPerMinute": 0, "unprovedRequestsPerMinute": 9},
            "perCaller": {"requestsPerSecond": 7, "connections": 3},
            "perCluster": {"handshakesPerMinute": 5},
        }});
        let mut expected = LimitSettings::default();
        expected.per_address.failures_per_minute = 0;
        expected.per_address.unproved_requests_per_minute = 9;
        expected.per_caller.requests_per_second = 7;
        expected.caller_connections = 3;
        expected.cluster_handshakes = 5;
        assert_eq!(read(document), (expected, Vec::new()));
        assert_eq!(read(serde_json::json!({})).0, LimitSettings::default());
    }

    #[test]
    fn every_fault_is_named_at_its_key() {
        let document = serde_json::json!({"limits": {
            "perAdress": {},
            "perCaller": {"requestsPerSecond": -1, "openRequests": "many"},
            "perCluster": 3,
        }});
        let (_, faults) = read(document);
        for at in [
            "limits.perAdress: unknown key",
            "limits.perCaller.requestsPerSecond: is not a count",
            "limits.perCaller.openRequests: is not a count",
            "limits.perCluster: is not a mapping",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(at)),
                "{at} is not in {faults:?}"
            );
        }
    }
}
