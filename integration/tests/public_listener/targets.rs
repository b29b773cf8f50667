//! Long targets, whose records are work before anybody knows who asks.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use integration::environment::Environment;
use integration::server_config::no_limits;

use crate::bystander::Bystander;

const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Of a target, near the longest that is taken.
const BYTES: usize = 60_000;
const AT_ONCE: usize = 10;
const TIMES: usize = 10;
/// Of the processor, for all of them in a build without optimizations: some times
/// what reading them takes. One alone took more while each token was sought in all
/// that follows it.
const WORK: Duration = Duration::from_secs(5);

pub(crate) async fn targets_that_look_like_tokens(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    // No limit is to end the stranger's connections under its requests.
    crate::limits::change(&mut chain, no_limits()).await?;
    let bystander = Bystander::arrives(&chain).await?;
    let stranger = chain.http().local_address(IpAddr::from(FROM)).build()?;
    let before = chain.server.processor_time()?;
    for number in 0..TIMES {
        let target = ["eyJ!", "a/", "?eyJ!", "?a&", "%65yJ!"][number % 5].repeat(BYTES / 6);
        // Read once: that takes a while, too.
        let url: reqwest::Url = format!("{}/{target}", chain.url_by_host()).parse()?;
        let asking = try_join_all((0..AT_ONCE).map(|_| async {
            let status = stranger.get(url.clone()).send().await?.status().as_u16();
            ensure!(matches!(status, 400..=431), "{status}");
            Ok(())
        }));
        tokio::try_join!(asking, bystander.is_served())?;
        let used = chain.server.processor_time()? - before;
        println!("{} requests took {used:?}", (number + 1) * AT_ONCE);
        ensure!(
            used < WORK,
            "{used:?} for {} requests",
            (number + 1) * AT_ONCE
        );
    }
    bystander.leaves(&chain).await?;
    chain.stop().await
}
