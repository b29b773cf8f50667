//! How the images, which have no libc files, resolve the server's name.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::connector::{Connector, Destination};
use crate::server::{self, ALIAS, PORT};
use crate::stage::Stage;

/// By DNS all other connectors of these tests find it.
pub(crate) async fn the_servers_name_is_found_in_the_pods_hosts(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let (connector, token) = Connector::named(set, "by-file");
    set.server
        .add(&connector.name, &token, &connector.access_token)?;
    let server = Destination {
        url: format!("https://{ALIAS}:{PORT}"),
        ca_file: set.server.ca_file(),
    };
    connector.write_overlay(set, &[], &server, &token)?;
    let address = server::address_in_the_network(set)?.ip();
    let aliases = format!("hostAliases: [{{ip: {address}, hostnames: [{ALIAS}]}}]");
    let base = connector
        .overlay(set)
        .join("connector/base/deployment.yaml");
    let text = std::fs::read_to_string(&base)?;
    let line = "enableServiceLinks: false";
    let (before, after) = text.split_once(line).context("the base has changed")?;
    std::fs::write(&base, format!("{before}{line}\n      {aliases}{after}"))?;
    connector.apply_overlay(set).await?;
    connector.ready(set).await?;
    let pods = connector.pods(set).await?;
    let hosts = &pods[0]["spec"]["hostAliases"][0]["hostnames"][0];
    ensure!(hosts == ALIAS, "{hosts}");
    let log = connector.log(set).await?;
    ensure!(log.contains(&server.url), "{log}");
    connector.remove(set).await
}
