//! Callers that ask for much and read nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::wait::until;
use serde_json::json;

use crate::sidecar::{Sidecar, Way};

const LISTS: &str = "/api/v1/namespaces/stalled/configmaps";
const OBJECTS: usize = 16;
const READERS: usize = 12;
/// Stream window, what hyper reads ahead, and the sockets' buffers are the kernel's.
const EACH: u64 = 2 * 1024 * 1024;

pub(crate) async fn who_reads_nothing_holds_a_window(environment: Arc<Environment>) -> Result<()> {
    let kubernetes = environment.kubernetes().await?;
    kubernetes.create_namespace("stalled").await?;
    let sidecar = Sidecar::start(&environment, Way::default()).await?;
    let client = reqwest::Client::new();
    for number in 0..OBJECTS {
        let map = json!({
            "metadata": { "name": format!("large-{number}") },
            "data": { "a": "x".repeat(1_000_000) },
        });
        let created = client.post(sidecar.path(LISTS)?).json(&map).send().await?;
        created.error_for_status()?;
    }
    let before = sidecar.service.resident_memory()?;
    let mut stalled = Vec::new();
    for _ in 0..READERS {
        let (connection, status) = sidecar.open(LISTS, "").await?;
        ensure!(status == 200, "{status}");
        stalled.push(connection);
    }
    // Others share their connection to the API server, and are served.
    let begun = Instant::now();
    for _ in 0..20 {
        ensure!(sidecar.get("/version").await?.0 == 200);
    }
    println!("20 small requests beside them: {:.1?}", begun.elapsed());
    ensure!(begun.elapsed() < Duration::from_secs(10));
    let whole = client
        .get(sidecar.path(LISTS)?)
        .send()
        .await?
        .bytes()
        .await?;
    ensure!(whole.len() > OBJECTS * 1_000_000);

    let held = sidecar.service.resident_memory()?.saturating_sub(before) / READERS as u64;
    println!(
        "{held} bytes for each stalled reader of {} bytes",
        whole.len()
    );
    ensure!(held < EACH, "{held} bytes for each");
    drop(stalled);
    until("nothing is open any more", SOON, || async {
        Ok((sidecar.open_requests().await? == Some(0.0)).then_some(()))
    })
    .await
}
