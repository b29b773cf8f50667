//! Callers in a closed loop: each sends its next request when it has the answer
//! to the last.

use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::body::Incoming;
use service_kit::tasks::Tasks;
use tokio::task::JoinSet;

use crate::caller::{Connection, Target, Version};
use crate::origin::{SMALL, WATCH};

/// Streams that share one HTTP/2 connection; the server allows 250.
const STREAMS: usize = 64;

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub version: Version,
    /// Requests open at once.
    pub concurrency: usize,
    /// Watches that are open beside them and say nothing.
    pub watches: usize,
}

/// Callers that are connected and have each had one answer.
pub struct Callers {
    connections: Vec<Connection>,
    _watches: Vec<Incoming>,
    tasks: Tasks,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Run {
    pub elapsed: Duration,
    pub bytes: u64,
    /// Of each request, in order of length.
    pub latencies: Vec<Duration>,
}

impl Load {
    pub async fn connect(self, target: &Target) -> Result<Callers> {
        let tasks = Tasks::new();
        let mut watches = Vec::new();
        // Requests do not share a connection with watches.
        for mut watcher in connect(target, Version::Http2, self.watches, &tasks).await? {
            watches.push(watcher.watch(WATCH).await?);
        }
        let mut connections = connect(target, self.version, self.concurrency, &tasks).await?;
        for connection in &mut connections {
            connection.get(SMALL).await?;
        }
        Ok(Callers {
            connections,
            _watches: watches,
            tasks,
        })
    }
}

async fn connect(
    target: &Target,
    version: Version,
    callers: usize,
    tasks: &Tasks,
) -> Result<Vec<Connection>> {
    let tls = target.tls(version)?;
    let mut connections: Vec<Connection> = Vec::new();
    for number in 0..callers {
        let shared = match connections.last() {
            Some(last) if number % STREAMS != 0 => last.share(),
            _ => None,
        };
        connections.push(match shared {
            Some(shared) => shared,
            None => {
                target
                    .connect(version, tls.clone(), &tasks.spawner())
                    .await?
            }
        });
    }
    Ok(connections)
}

impl Callers {
    /// Small requests for a time.
    pub async fn small(self, duration: Duration) -> Result<Run> {
        self.run(SMALL, move |started| started.elapsed() < duration)
            .await
    }

    /// One request of each caller.
    pub async fn once(self, path: &'static str) -> Result<Run> {
        self.run(path, |_| false).await
    }

    async fn run(
        self,
        path: &'static str,
        again: impl Fn(Instant) -> bool + Copy + Send + 'static,
    ) -> Result<Run> {
        let started = Instant::now();
        let mut callers = JoinSet::new();
        for mut connection in self.connections {
            callers.spawn(async move {
                let (mut bytes, mut latencies) = (0, Vec::new());
                loop {
                    let sent = Instant::now();
                    bytes += connection.get(path).await?;
                    latencies.push(sent.elapsed());
                    if !again(started) {
                        return anyhow::Ok((bytes, latencies));
                    }
                }
            });
        }
        let mut run = Run {
            elapsed: Duration::ZERO,
            bytes: 0,
            latencies: Vec::new(),
        };
        while let Some(ended) = callers.join_next().await {
            let (bytes, latencies) = ended??;
            run.bytes += bytes;
            run.latencies.extend(latencies);
        }
        run.elapsed = started.elapsed();
        run.latencies.sort();
        drop(self.tasks);
        Ok(run)
    }
}

impl Run {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn gbit_per_second(&self) -> f64 {
        self.bytes as f64 * 8e-9 / self.elapsed.as_secs_f64()
    }

    /// Microseconds within which that share of the requests was answered.
    pub fn latency(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.latencies
            .get(index)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}
