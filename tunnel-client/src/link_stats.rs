//! What is known of one link, in the metrics as long as it lives.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::gauge::Gauge;
use service_kit::metered::Traffic;
use tokio::sync::watch;

/// Of one link.
#[derive(Debug)]
pub(crate) struct LinkStats {
    pub(crate) lane: u8,
    pub(crate) generation: u64,
    registered: OnceLock<Registered>,
    /// Requests and upgraded streams that are open on it.
    pub(crate) open: Gauge,
    pub(crate) traffic: Traffic,
    /// The last that was measured.
    round_trip: watch::Sender<Option<Duration>>,
}

/// By whom, and since when.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) replica: String,
    pub(crate) since: SystemTime,
}

impl LinkStats {
    pub(crate) fn new(lane: u8, generation: u64) -> Self {
        Self {
            lane,
            generation,
            registered: OnceLock::new(),
            open: Gauge::default(),
            traffic: Traffic::default(),
            round_trip: watch::Sender::new(None),
        }
    }

    /// The first word counts, as the server says it once.
    pub(crate) fn registered_by(&self, replica: String) {
        let since = SystemTime::now();
        self.registered
            .get_or_init(|| Registered { replica, since });
    }

    pub(crate) fn registered(&self) -> Option<&Registered> {
        self.registered.get()
    }

    pub(crate) fn open_requests(&self) -> i64 {
        self.open.get()
    }

    pub(crate) fn measured(&self, round_trip: Duration) {
        self.round_trip.send_replace(Some(round_trip));
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        *self.round_trip.borrow()
    }

    /// Waits until one was measured.
    pub(crate) async fn first_round_trip(&self) -> Duration {
        let mut measured = self.round_trip.subscribe();
        // The sender is ours, so that it never ends.
        let measured = measured.wait_for(Option::is_some).await;
        measured
            .ok()
            .and_then(|measured| *measured)
            .unwrap_or_default()
    }
}
