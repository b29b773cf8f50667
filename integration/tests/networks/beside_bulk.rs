//! Small requests while bulk streams fill a path of 200 Mbit/s, and one without a cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use integration::environment::Environment;
use integration::wait::until;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

use crate::stage::Stage;

const RATE: &str = "200mbit";
const BULK: usize = 10;
const CALLS: usize = 100;
/// What bulk may add to a small request's time, in the middle; five times that on a
/// loaded machine.
const ADDED: Duration = Duration::from_millis(5 * 20);

pub(crate) async fn small_requests_pass_bulk(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set_alone(&environment).await?;
    let alone = median(&stage).await?;
    let mut bulk = Bulk::start(&stage)?;
    let (beside, rate) = bulk.small_requests(&stage).await?;
    println!("alone {alone:.1?}, beside {BULK} bulk streams of {rate:.0} Mbit/s {beside:.1?}");
    drop(bulk);

    stage.network.cap(RATE).await?;
    let alone = median(&stage).await?;
    let mut bulk = Bulk::start(&stage)?;
    let (beside, rate) = bulk.small_requests(&stage).await?;
    println!(
        "capped: alone {alone:.1?}, beside {BULK} bulk streams of {rate:.0} Mbit/s {beside:.1?}"
    );
    ensure!(beside < alone + ADDED, "{beside:?}");
    drop(bulk);
    stage.chain.stop().await
}

/// Streams that carry all they can, until it is dropped.
struct Bulk {
    streams: JoinSet<Result<()>>,
    received: Arc<AtomicU64>,
    _readers: Readers,
}

impl Bulk {
    fn start(stage: &Stage) -> Result<Self> {
        // Else the small requests would wait for this process, which reads all the bulk.
        let readers = Readers::new()?;
        let mut streams = JoinSet::new();
        let received = Arc::new(AtomicU64::new(0));
        for _ in 0..BULK {
            let client = stage.chain.caller()?;
            let url = format!("{}/large", stage.chain.url_by_host());
            let received = received.clone();
            let read = async move {
                loop {
                    let mut answer = client.get(&url).send().await?;
                    while let Some(chunk) = answer.chunk().await? {
                        received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                    }
                }
            };
            streams.spawn_on(read, readers.runtime()?);
        }
        Ok(Self {
            streams,
            received,
            _readers: readers,
        })
    }

    /// How long a small request takes beside it, in the middle, and its own Mbit/s.
    async fn small_requests(&mut self, stage: &Stage) -> Result<(Duration, f64)> {
        let received = || self.received.load(Ordering::Relaxed);
        // All are under way, and buffers full.
        until("much of the bulk", Duration::from_secs(60), || async {
            Ok((received() > 64 << 20).then_some(()))
        })
        .await?;
        let (started, before) = (Instant::now(), received());
        let beside = tokio::select! {
            beside = median(stage) => beside?,
            Some(ended) = self.streams.join_next() => {
                ended??;
                bail!("a bulk stream has ended")
            }
        };
        let bytes = received() - before;
        Ok((
            beside,
            bytes as f64 * 8e-6 / started.elapsed().as_secs_f64(),
        ))
    }
}

/// A thread that reads.
struct Readers(Option<Runtime>);

impl Readers {
    fn new() -> Result<Self> {
        let mut builder = runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn runtime(&self) -> Result<&runtime::Handle> {
        Ok(self.0.as_ref().context("has ended")?.handle())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // In a task nothing is to wait for its end.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn median(stage: &Stage) -> Result<Duration> {
    let client = stage.chain.caller()?;
    let url = stage.chain.url_by_host();
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let started = Instant::now();
        let answer = client.get(&url).send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        answer.bytes().await?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    took.get(CALLS / 2).copied().context("no call")
}
