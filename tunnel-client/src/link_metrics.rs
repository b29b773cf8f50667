//! Each link's numbers, as long as it lives.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::fleet::Fleet;
use crate::link_stats::LinkStats;

/// Shows the links of a fleet that are registered.
#[derive(Debug)]
pub(crate) struct LinkMetrics(pub(crate) Arc<Fleet>);

impl Collector for LinkMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut links = self.0.stats();
        links.retain(|link| link.registered().is_some());
        let mut gauge = Gauges {
            encoder: &mut encoder,
            links: &links,
        };
        gauge.show(
            "tunnel_client_link_registered_timestamp_seconds",
            "When a link was registered, seconds since 1970",
            |link| {
                let since = link.registered()?.since.duration_since(UNIX_EPOCH);
                Some(since.ok()?.as_secs_f64())
            },
        )?;
        gauge.show(
            "tunnel_client_link_open_requests",
            "Requests and upgraded streams that are open on a link",
            |link| Some(link.open_requests()),
        )?;
        gauge.show(
            "tunnel_client_link_round_trip_seconds",
            "Time from the last question on a link to its answer, which waits behind what is queued there",
            |link| Some(link.round_trip()?.as_secs_f64()),
        )?;
        self.bytes(&mut encoder, &links)
    }
}

impl LinkMetrics {
    fn bytes(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        links: &[Arc<LinkStats>],
    ) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "tunnel_client_link_bytes",
            "Bytes that a link carried, of HTTP/2",
            None,
            MetricType::Counter,
        )?;
        for link in links {
            for (direction, bytes) in [
                ("received", link.traffic.received.get()),
                ("sent", link.traffic.sent.get()),
            ] {
                let [lane, generation, replica] = labels(link);
                let labels = [
                    lane,
                    generation,
                    replica,
                    ("direction", direction.to_owned()),
                ];
                family
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, u64, f64>(&bytes, None)?;
            }
        }
        Ok(())
    }
}

/// A gauge of each link.
struct Gauges<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    links: &'a [Arc<LinkStats>],
}

impl Gauges<'_, '_> {
    fn show<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&LinkStats) -> Option<V>,
    ) -> Result<(), fmt::Error> {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for link in self.links {
            if let Some(value) = value(link) {
                family.encode_family(&labels(link))?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

fn labels(link: &LinkStats) -> [(&'static str, String); 3] {
    let replica = link.registered().map(|by| by.replica.clone());
    [
        ("lane", link.lane.to_string()),
        ("generation", link.generation.to_string()),
        ("replica", replica.unwrap_or_default()),
    ]
}
