//! Waiting for something to become true, with a deadline that names it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until there is something to see.
pub async fn until<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if started.elapsed() > within {
            bail!("{what} did not happen within {within:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
