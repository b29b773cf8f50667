//! The lines as they are written: JSON, one object each. `docs/audit.md` says what
//! the fields mean.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use crate::access::Grant;
use crate::client_address::ClientAddress;

/// A request that has ended, or a stream that has started.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestLine<'a> {
    pub(super) event: &'static str,
    pub(super) time: String,
    pub(super) request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_address: Option<ClientAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authenticated_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_instance: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) verb: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) api_group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) api_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) subresource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) name: &'a str,
    pub(super) decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<&'a Grant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) whole: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A link that was accepted or refused, or has ended.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LinkLine<'a> {
    pub(super) event: &'static str,
    pub(super) time: String,
    pub(super) state: &'static str,
    pub(super) request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_address: Option<ClientAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
}

/// Requests of one address, or handshakes of one cluster, that have no line of their own.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnwrittenLine<'a> {
    pub(super) event: &'static str,
    pub(super) time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<&'a str>,
    pub(super) requests: u64,
}

/// RFC 3339 in UTC, always with milliseconds, so that lines sort as texts. By hand, as
/// each line has one.
pub(super) fn written(time: OffsetDateTime) -> String {
    let (date, clock) = (time.date(), time.time());
    let mut text = String::with_capacity("2030-01-31T23:59:59.999Z".len());
    let mut put = |number: u32, width: u32, end: char| {
        for place in (0..width).rev() {
            let digit = number / 10_u32.pow(place) % 10;
            text.extend(char::from_digit(digit, 10));
        }
        text.push(end);
    };
    put(date.year().unsigned_abs(), 4, '-');
    put(u8::from(date.month()).into(), 2, '-');
    put(date.day().into(), 2, 'T');
    put(clock.hour().into(), 2, ':');
    put(clock.minute().into(), 2, ':');
    put(clock.second().into(), 2, '.');
    put(clock.millisecond().into(), 3, 'Z');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    use super::*;

    fn fields(line: impl Serialize) -> BTreeSet<String> {
        let value = serde_json::to_value(line).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }

    /// The first words of a table's rows, below a heading.
    fn documented(heading: &str) -> BTreeSet<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once(heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    #[test]
    fn the_document_names_every_field_and_no_other() {
        let some = Some("x");
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 1)).into());
        let number = Some(1);
        let request = RequestLine {
            client_address: address,
            user_agent: some,
            caller: some,
            token: some,
            authenticated_by: some,
            cluster: some,
            link_id: number,
            link_instance: some,
            query: some,
            verb: "x",
            api_group: "x",
            api_version: "x",
            resource: "x",
            subresource: "x",
            namespace: "x",
            name: "x",
            rule: Some(&Grant::All),
            reason: some,
            status: Some(1),
            outcome: some,
            request_bytes: number,
            response_bytes: number,
            whole: Some(true),
            duration_ms: number,
            ..RequestLine::default()
        };
        assert_eq!(fields(request), documented("## Requests"));
        let link = LinkLine {
            client_address: address,
            cluster: some,
            link_id: number,
            link_instance: some,
            outcome: some,
            reason: some.map(Cow::from),
            duration_ms: number,
            ..LinkLine::default()
        };
        assert_eq!(fields(link), documented("## Links"));
        let unwritten = UnwrittenLine {
            address: some,
            cluster: some,
            ..UnwrittenLine::default()
        };
        let heading = "## What has no line of its own";
        assert_eq!(fields(unwritten), documented(heading));
    }

    #[test]
    fn times_have_milliseconds_even_where_they_are_none() {
        assert_eq!(
            written(OffsetDateTime::UNIX_EPOCH),
            "1970-01-01T00:00:00.000Z"
        );
    }
}
