//! A replica of tunnel-server.

use std::time::Duration;

use tunnel_server::simulation::{Replica, Settings};
use turmoil::net::TcpListener;

use crate::network::Port;
use crate::stage::{BALANCED, CLUSTER, DOMAIN, SERVER_PORT, SERVERS, Stage};

/// How long it stays after it was told to end, no longer ready.
pub(crate) const SHUTDOWN_DELAY: Duration = Duration::from_secs(3);
pub(crate) const DRAIN: Duration = Duration::from_secs(15);
/// As long as a lone client may be away: its drain, held up by a dead link, and its start.
pub(crate) const HOLD: Duration = Duration::from_secs(20);

/// Later than any clock that is wrong: all begin on 12 January 1970.
const GOOD_UNTIL: &str = "1970-02-01T00:00:00Z";

pub(crate) async fn run(stage: Stage, server: usize) -> turmoil::Result {
    let process = stage.server_starts(server);
    let settings = Settings {
        replicas: 2,
        drain: DRAIN,
        shutdown_delay: SHUTDOWN_DELAY,
        hold: HOLD,
        response_timeout: Duration::from_secs(30),
        link_resets: stage.choices.link_resets,
    };
    let name = format!("{}-{}", ["a", "b"][server], process.starts);
    let replica = Replica::new(&config(&stage), &name, settings);
    let replica = replica.map_err(|faults| faults.to_string())?;
    let listener = TcpListener::bind(("0.0.0.0", SERVER_PORT)).await?;
    stage.server_has(server, replica.links());
    replica
        .run(Port(listener), process.shutdown.cancelled())
        .await;
    Ok(())
}

fn config(stage: &Stage) -> String {
    let (connector, access) = (&stage.connector_token, &stage.access_token);
    format!(
        "
baseDomain: {DOMAIN}
extraHosts: [{}, {}, {BALANCED}]
listen: 0.0.0.0:{SERVER_PORT}
clusters:
  - name: {CLUSTER}
    connectorTokens: [{{ hash: '{}', expires: '{GOOD_UNTIL}' }}]
callers:
  - name: platform
    clusters: ['*']
    accessTokens: [{{ name: one, hash: '{}' }}]
limits:
  perAddress: {{ unprovedConnections: 0, unprovedRequestsPerMinute: 0, failuresPerMinute: 0 }}
  perCaller: {{ requestsPerSecond: 0, openRequests: 0, connections: 0 }}
  perCluster: {{ requestsPerSecond: 0, openRequests: 0, handshakesPerMinute: 0 }}
",
        SERVERS[0],
        SERVERS[1],
        connector.hash(),
        access.hash()
    )
}
