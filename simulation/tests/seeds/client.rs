//! A pod's tunnel-client.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use tunnel_client::{Args, Config, simulation};

use crate::network::Hosts;
use crate::stage::{self, SERVERS, Stage};

pub(crate) const DRAIN: Duration = Duration::from_secs(12);
/// The longest wait between two attempts.
pub(crate) const CAP: Duration = Duration::from_secs(5);

pub(crate) async fn run(stage: Stage, client: usize, config: Config) -> turmoil::Result {
    let process = stage.client_starts(client);
    let instance = stage.instance(client);
    let network = Hosts {
        client,
        stage: stage.clone(),
    };
    let shutdown = process.shutdown.cancelled();
    simulation::run(config, &instance, network, shutdown).await?;
    Ok(())
}

/// Read once: the token's file is.
pub(crate) fn config(stage: &Stage, token_file: &Path) -> anyhow::Result<Config> {
    let servers = match stage.choices.is_balanced {
        true => format!("https://{}", stage::BALANCED),
        false => SERVERS.map(|name| format!("https://{name}")).join(","),
    };
    let arguments = [
        "tunnel-client".to_owned(),
        format!("--server={servers}"),
        format!("--token-file={}", token_file.display()),
        format!("--upstream={}:{}", stage::UPSTREAM, stage::UPSTREAM_PORT),
        format!("--max-links={}", stage.choices.max_links),
        format!("--busy-requests={}", stage.choices.busy),
        "--quiet-ms=5000".to_owned(),
        format!("--reconnect-cap-ms={}", CAP.as_millis()),
        "--reconnect-spread-ms=1000".to_owned(),
        format!("--drain-seconds={}", DRAIN.as_secs()),
    ];
    Ok(Config::try_from(Args::try_parse_from(arguments)?)?)
}
