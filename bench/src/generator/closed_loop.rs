//! Callers that each ask again when they have been answered: the most that is carried.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{Connection, Entry, Latencies};

/// How long a loop runs.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Its requests do not count.
    pub warm_up: Duration,
    pub time: Duration,
}

/// What a loop gave.
#[derive(Clone, Debug)]
pub struct Looped {
    /// Of the requests that were sent and answered while it counted.
    pub latencies: Latencies,
    pub bytes: u64,
    pub time: Duration,
}

impl Looped {
    pub fn per_second(&self) -> f64 {
        self.latencies.count() as f64 / self.time.as_secs_f64()
    }

    /// How many a second, and their median and 99th percentile, milliseconds.
    pub fn figures(&self) -> [f64; 3] {
        let within = |part| self.latencies.within(part);
        [self.per_second(), within(0.5), within(0.99)]
    }
}

/// What one caller does again and again; gives bytes.
pub trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

/// Asks on a connection that it keeps.
pub struct Keeps {
    connection: Connection,
    request: Vec<u8>,
}

impl Keeps {
    /// So many of them; each has had one answer.
    pub async fn connect(entry: &Entry, path: &str, count: usize) -> Result<Vec<Self>> {
        let mut callers = Vec::new();
        for _ in 0..count {
            let mut caller = Self {
                connection: Connection::open(entry).await?,
                request: entry.get(path),
            };
            caller.call().await?;
            callers.push(caller);
        }
        Ok(callers)
    }
}

impl Caller for Keeps {
    async fn call(&mut self) -> Result<u64> {
        self.connection.exchange(&self.request).await
    }
}

/// Asks on a connection of its own each time.
pub struct Anew {
    pub entry: Entry,
    pub request: Vec<u8>,
}

impl Caller for Anew {
    async fn call(&mut self) -> Result<u64> {
        Connection::open(&self.entry)
            .await?
            .exchange(&self.request)
            .await
    }
}

/// Runs them all. `counts` is called when the warm-up is over.
pub async fn run<C: Caller>(
    callers: Vec<C>,
    times: Times,
    counts: impl FnOnce() -> Result<()>,
) -> Result<Looped> {
    let from = Instant::now() + times.warm_up;
    let end = from + times.time;
    let mut running = JoinSet::new();
    for mut caller in callers {
        running.spawn(async move {
            let (mut bytes, mut latencies) = (0, Latencies::new()?);
            let mut sent = Instant::now();
            while sent < end {
                let got = caller.call().await?;
                let now = Instant::now();
                // One that spans the beginning or the end would count for more than it is.
                if sent >= from && now <= end {
                    bytes += got;
                    latencies.add(now.duration_since(sent));
                }
                sent = now;
            }
            anyhow::Ok((bytes, latencies))
        });
    }
    tokio::time::sleep_until(from.into()).await;
    counts()?;
    let mut looped = Looped {
        latencies: Latencies::new()?,
        bytes: 0,
        time: times.time,
    };
    while let Some(ended) = running.join_next().await {
        let (bytes, latencies) = ended??;
        looped.bytes += bytes;
        looped.latencies.join(&latencies)?;
    }
    Ok(looped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lean::origin::Origin;
    use crate::origin::{SMALL, SMALL_BYTES};

    #[tokio::test]
    async fn both_kinds_count_answers() {
        let origin = Origin::start().await.unwrap();
        let entry = Entry::plain(origin.address);
        let times = Times {
            warm_up: Duration::from_millis(5),
            time: Duration::from_millis(50),
        };
        let kept = Keeps::connect(&entry, SMALL, 2).await.unwrap();
        let looped = run(kept, times, || Ok(())).await.unwrap();
        assert!(looped.latencies.count() > 0);
        assert_eq!(looped.bytes, looped.latencies.count() * SMALL_BYTES as u64);
        let request = entry.get(SMALL);
        let looped = run(vec![Anew { entry, request }], times, || Ok(())).await;
        assert!(looped.unwrap().latencies.count() > 0);
    }
}
