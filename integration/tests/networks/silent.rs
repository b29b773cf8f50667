//! Nothing comes any more, and nobody says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::endure::amount;
use integration::environment::Environment;
use integration::wait::until;

use crate::stage::Stage;

/// A ping every 12 to 15 s, and 10 s for its answer; five times that on a loaded
/// machine.
const NOTICED: Duration = Duration::from_secs(5 * 25);

pub(crate) async fn a_silent_network_is_noticed(environment: Arc<Environment>) -> Result<()> {
    both_notice(&environment, &[0, 1]).await
}

/// One way in the short form; which one is drawn.
pub(crate) async fn one_that_is_silent_one_way_is_noticed(
    environment: Arc<Environment>,
) -> Result<()> {
    let first = usize::from(rand::random::<bool>());
    for way in [first, 1 - first]
        .into_iter()
        .take(usize::try_from(amount(1, 2))?)
    {
        both_notice(&environment, &[way]).await?;
    }
    Ok(())
}

async fn both_notice(environment: &Environment, ways: &[usize]) -> Result<()> {
    let stage = Stage::set(environment).await?;
    let link = stage.link();
    for way in ways {
        stage
            .network
            .firewall(&format!("-A {} -j DROP", link[*way]))
            .await?;
    }
    let silent = Instant::now();
    let server = async {
        until("the server's notice", NOTICED, || async {
            let links = stage.chain.server.metric("tunnel_server_links").await?;
            Ok((links == Some(0.0)).then(|| silent.elapsed()))
        })
        .await
    };
    let client = async {
        until("the client's notice", NOTICED, || async {
            let links = stage.chain.client.metric("tunnel_client_links").await?;
            Ok((links == Some(0.0)).then(|| silent.elapsed()))
        })
        .await
    };
    let (server, client) = tokio::try_join!(server, client)?;
    println!(
        "silent, ways {ways:?}: the server knew after {server:.1?}, the client after {client:.1?}"
    );

    stage.network.open_firewall().await?;
    let open = Instant::now();
    stage.chain.linked().await?;
    println!(
        "a new link {:.1?} after the network is back",
        open.elapsed()
    );
    stage.call().await?;
    ensure!(stage.chain.client.admin_page("/readyz").await?.0 == 200);
    stage.chain.stop().await
}
