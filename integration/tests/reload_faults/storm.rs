//! Files that are written faster than they are read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::endure::amount;
use integration::environment::Environment;
use integration::server_config::new_token;
use tunnel_protocol::token::TokenKind;

use crate::alone::{Alone, replace};

const MEGABYTE: u64 = 1 << 20;
/// A hundred a second.
const EVERY: Duration = Duration::from_millis(10);

pub(crate) async fn a_hundred_rewrites_a_second(_: Arc<Environment>) -> Result<()> {
    let alone = Alone::start().await?;
    let path = alone.at("server.yaml");
    let mut peak = 0;
    for in_place in [false, true] {
        let others = [new_token(TokenKind::Access), new_token(TokenKind::Access)];
        let texts = others.each_ref().map(|token| alone.text(token));
        let lasts = Duration::from_secs(amount(4, 120).into());
        let (since, mut count) = (Instant::now(), 0_usize);
        let mut ticks = tokio::time::interval(EVERY);
        while since.elapsed() < lasts {
            ticks.tick().await;
            let text = &texts[count % 2];
            if in_place {
                std::fs::write(&path, text)?;
            } else {
                replace(&path, text)?;
            }
            count += 1;
        }
        // What was written last is what counts.
        let last = new_token(TokenKind::Access);
        replace(&path, &alone.text(&last))?;
        let written = Instant::now();
        alone.knows(&last).await?;
        println!(
            "{count} rewrites in {lasts:?}; the last was in force after {:?}",
            written.elapsed()
        );
        for other in &others {
            ensure!(alone.status(other).await? == 401);
        }
        let now = alone.service.peak_memory()?;
        if peak > 0 {
            println!("memory grew by {} KB", (now - peak) / 1024);
            ensure!(now - peak < 20 * MEGABYTE);
        }
        peak = now;
    }
    let refused = alone
        .metric("config_reloads_total{outcome=\"refused\"}")
        .await?;
    ensure!(refused == 0.0, "a file that was half written was read");
    alone.metric_becomes("config_current", 1.0).await
}
