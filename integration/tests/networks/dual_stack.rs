//! A server with several addresses, of both families, of which some lead nowhere.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, SOON};
use integration::environment::Environment;
use integration::wait::until;

use crate::stage::Stage;

/// For examples (RFC 5737): nobody's.
const DEAD: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(203, 0, 113, 1)];

/// What an address has to itself.
const HEAD_START: Duration = Duration::from_millis(250);
/// That for each address that is silent, three at most, and as much for the rest; five
/// times that on a loaded machine.
const A_MOMENT: Duration = Duration::from_secs(5);

pub(crate) async fn addresses_that_lead_nowhere_cost_a_moment(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    let port = stage.chain.server_address.port();
    let here = stage.network.here;
    let [first, second] = DEAD;
    stage.end_client().await?;

    // A name's other family is not there at all: told at once.
    names(&stage, &["2001:db8::1", &here.to_string()])?;
    back("no IPv6", &mut stage).await?;

    let (here_ipv6, _) = stage.network.add_ipv6().await?;
    let further = stage.network.route_all_here().await?;
    stage.chain.config.listen = format!("[::]:{port}");
    stage.chain.write_config()?;
    stage.chain.restart_server().await?;
    names(&stage, &[&here_ipv6.to_string(), &here.to_string()])?;
    back("both families", &mut stage).await?;

    let silent = format!("-A OUTPUT -p tcp --dport {port} -j DROP");
    stage.network.firewall_ipv6(&silent).await?;
    back("silent IPv6", &mut stage).await?;
    stage.network.firewall_ipv6("-F").await?;

    stage.network.firewall(&silent).await?;
    back("silent IPv4", &mut stage).await?;
    stage.network.open_firewall().await?;

    for dead in DEAD {
        let silent = format!("-A OUTPUT -d {dead} -j DROP");
        stage.network.firewall(&silent).await?;
    }
    // The resolver would have put one on the cable first.
    let addresses = [first, second, further].map(|address| address.to_string());
    names(&stage, &addresses.each_ref().map(String::as_str))?;
    let took = back("two dead before it", &mut stage).await?;
    ensure!(took > 2 * HEAD_START, "they were not tried first: {took:?}");
    stage.chain.stop().await
}

pub(crate) async fn all_addresses_that_fail_are_told(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    let port = stage.chain.server_address.port();
    let here = stage.network.here;
    names(&stage, &["2001:db8::1", &here.to_string()])?;
    stage.end_client().await?;
    stage.chain.server.kill()?;
    stage.start_client().await?;
    let expected = [
        format!("cannot connect to [2001:db8::1]:{port}: "),
        format!("cannot connect to {here}:{port}: "),
    ];
    until("both addresses' faults", SOON, || async {
        let lines = stage.chain.client.log_lines();
        let Some(line) = lines.iter().find(|line| line["message"] == "no link") else {
            return Ok(None);
        };
        let error = line["error"].as_str().context("no error")?;
        for expected in &expected {
            ensure!(error.contains(expected), "{error}");
        }
        Ok(Some(()))
    })
    .await?;
    stage.chain.stop().await
}

/// What the server's name means to tunnel-client from now on.
fn names(stage: &Stage, addresses: &[&str]) -> Result<()> {
    let lines = addresses.iter();
    let lines = lines.map(|address| format!("{address} {BASE_DOMAIN}\n"));
    stage.network.hosts(&lines.collect::<String>())
}

/// Starts tunnel-client, which is to have a link soon, and ends it.
async fn back(what: &str, stage: &mut Stage) -> Result<Duration> {
    let started = Instant::now();
    stage.start_client().await?;
    stage.chain.linked().await?;
    let took = started.elapsed();
    println!("{what}: a link after {took:.1?}");
    ensure!(took < A_MOMENT, "{what}: {took:?}");
    stage.call().await?;
    stage.end_client().await?;
    Ok(took)
}
