//! What all lanes need.

use std::sync::{Arc, Mutex};

use service_kit::tasks::Spawner;
use tokio_util::sync::CancellationToken;

use crate::args::Config;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::old_links::OldLinks;
use crate::relay::Relay;
use crate::told::Told;

/// See the fields.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) relay: Arc<Relay>,
    pub(crate) metrics: Metrics,
    pub(crate) fleet: Arc<Fleet>,
    /// What the server knows this process by.
    pub(crate) instance: String,
    /// The URLs that the user was told.
    pub(crate) announced: Mutex<Vec<String>>,
    /// What the log has told of the servers.
    pub(crate) told: Told,
    pub(crate) old_links: OldLinks,
    /// Drains all links.
    pub(crate) draining: CancellationToken,
    /// For links, which may outlive their lane's turn.
    pub(crate) spawner: Spawner,
}
