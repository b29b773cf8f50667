//! Three hundred watches at once on one link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use integration::chain::Chain;
use integration::environment::Environment;
use integration::http_version::HttpVersion;

use crate::objects::Objects;
use crate::watcher::{Watch, Way};

const WATCHES: usize = 300;
/// Callers over HTTP/2; the server allows each connection 250 requests.
const CALLERS: usize = 3;
/// Requests whose time is taken, one after the other.
const REQUESTS: usize = 200;
/// Events that every watch gets while the requests go on.
const EVENTS: usize = 20;

pub(crate) async fn three_hundred_watches_hinder_no_other_request(
    environment: Arc<Environment>,
) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let ways = [
        (Way::Http2, "many-http2"),
        (Way::Http1, "many-http1"),
        (Way::WebSocket, "many-websocket"),
    ];
    for (way, namespace) in ways {
        let objects = Objects::new(control_plane, namespace).await?;
        let chain = environment.chain().await?;
        let alone = Latencies::of(&chain).await?;
        let idle = memory(&chain)?;

        let path = objects.watch_from_now().await?;
        let mut watches = open(&chain, way, &path).await?;
        let silent = Latencies::of(&chain).await?;
        let (busy, ()) = tokio::try_join!(Latencies::of(&chain), async {
            for event in 0..EVENTS {
                objects.create(&format!("event-{event}")).await?;
            }
            all_see(&mut watches).await
        })?;
        println!(
            "{WATCHES} watches, {way:?}: a request alone {alone}; beside silent watches {silent}; \
             beside {EVENTS} events for each {busy}\n  \
             resident memory, MiB, server/client/sidecar: idle {idle}; with the watches {}",
            memory(&chain)?
        );
        drop(watches);
        chain.stop().await?;
    }
    Ok(())
}

async fn open(chain: &Chain, way: Way, path: &str) -> Result<Vec<Watch>> {
    let version = match way {
        Way::Http1 => HttpVersion::Http1,
        Way::Http2 => HttpVersion::Http2,
        Way::WebSocket => return try_join_all((0..WATCHES).map(|_| way.open(chain, path))).await,
    };
    let callers = (0..CALLERS)
        .map(|_| version.caller(chain))
        .collect::<Result<Vec<_>>>()?;
    // The first request of each decides that its connection is shared.
    for caller in &callers {
        let url = format!("{}/version", chain.url_by_host());
        version.get(caller, &url).await?.bytes().await?;
    }
    let opening = (0..WATCHES).map(|i| Watch::lines(version, &callers[i % CALLERS], chain, path));
    try_join_all(opening).await
}

async fn all_see(watches: &mut [Watch]) -> Result<()> {
    for watch in watches {
        for event in 0..EVENTS {
            let seen = watch.event().await?;
            ensure!(
                seen["object"]["metadata"]["name"] == format!("event-{event}"),
                "{seen}"
            );
        }
    }
    Ok(())
}

fn memory(chain: &Chain) -> Result<String> {
    let each = chain
        .services()
        .map(|service| {
            let mib = service.resident_memory()? as f64 / f64::from(1 << 20);
            Ok(format!("{mib:.1}"))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(each.join("/"))
}

/// Times of small requests, for information.
struct Latencies(Vec<Duration>);

impl Latencies {
    async fn of(chain: &Chain) -> Result<Self> {
        let caller = HttpVersion::Http2.caller(chain)?;
        let url = format!("{}/version", chain.url_by_host());
        HttpVersion::Http2.get(&caller, &url).await?.bytes().await?;
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let started = Instant::now();
            HttpVersion::Http2.get(&caller, &url).await?.bytes().await?;
            times.push(started.elapsed());
        }
        times.sort();
        Ok(Self(times))
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent: usize| self.0[(self.0.len() - 1) * percent / 100];
        write!(
            f,
            "p50 {:.1?} p99 {:.1?} max {:.1?}",
            at(50),
            at(99),
            at(100)
        )
    }
}
