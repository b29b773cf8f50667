//! Callers that call every 10 ms, and of whom nobody may be failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Between a caller's calls, and between two looks at them.
const EVERY: Duration = Duration::from_millis(10);

/// Run until their end, or until one is failed.
pub struct SteadyCalls {
    shared: Arc<Shared>,
    callers: JoinSet<Result<()>>,
}

struct Shared {
    url: String,
    token: String,
    count: AtomicUsize,
    ended: AtomicBool,
}

impl SteadyCalls {
    /// One caller for each client.
    pub fn start(clients: Vec<Client>, url: &str, token: &str) -> Self {
        let shared = Arc::new(Shared {
            url: url.to_owned(),
            token: token.to_owned(),
            count: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let mut callers = JoinSet::new();
        for client in clients {
            callers.spawn(call_again_and_again(client, shared.clone()));
        }
        Self { shared, callers }
    }

    /// How many were answered.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Waits for so many answers more.
    ///
    /// # Errors
    /// The first failure.
    pub async fn more(&mut self, count: usize) -> Result<()> {
        let wanted = self.count() + count;
        let shared = self.shared.clone();
        let answered = async {
            let mut looks = interval(EVERY);
            while shared.count.load(Ordering::Relaxed) < wanted {
                looks.tick().await;
            }
        };
        self.during(answered).await
    }

    /// Waits for `work`.
    ///
    /// # Errors
    /// The first failure meanwhile.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            Some(ended) = self.callers.join_next() => {
                ended??;
                bail!("a caller has ended")
            }
        }
    }

    /// Ends them; gives how many were answered.
    ///
    /// # Errors
    /// A failure.
    pub async fn end(mut self) -> Result<usize> {
        self.shared.ended.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended??;
        }
        Ok(self.count())
    }
}

async fn call_again_and_again(client: Client, shared: Arc<Shared>) -> Result<()> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.ended.load(Ordering::Relaxed) {
        ticks.tick().await;
        let call = client.get(&shared.url).bearer_auth(&shared.token).send();
        let answer = call.await.context("a request got no answer")?;
        let status = answer.status();
        let text = answer.text().await.context("an answer was cut")?;
        ensure!(status == StatusCode::OK, "{status} {text}");
        shared.count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
