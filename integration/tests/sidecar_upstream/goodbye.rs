//! An API server that says goodbye at random (`--goaway-chance`), as one behind a load
//! balancer is told to: no caller notices.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use integration::endure::amount;
use integration::environment::Environment;
use serde_json::{Value, json};

use crate::sidecar::{Sidecar, Way};

const AT_ONCE: usize = 32;

pub(crate) async fn goodbyes_cost_no_request(environment: Arc<Environment>) -> Result<()> {
    let sidecar = Sidecar::start(&environment, Way::default()).await?;
    let client = reqwest::Client::new();
    // A watch from before all of them goes on.
    let watch = "/api/v1/namespaces/culvert/configmaps?watch=true";
    let watching = client.get(sidecar.path(watch)?).send().await?;
    let mut events = watching.error_for_status()?;

    let count = amount(1500, 30_000) as usize;
    let url = sidecar.path("/api/v1/namespaces/culvert/configmaps")?;
    let asking = (0..count).map(|number| {
        let (client, url) = (&client, &url);
        async move {
            let map = json!({ "metadata": { "generateName": "goodbye-" }, "data": { "a": "b" } });
            // Every third has a body, which has to be sent again, too.
            let request = match number % 3 {
                0 => client.post(format!("{url}?dryRun=All")).json(&map),
                _ => client.get(format!("{url}/nobody")),
            };
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            ensure!(
                matches!(status, 201 | 404),
                "{status} {}",
                answer.text().await?
            );
            answer.bytes().await?;
            Ok(())
        }
    });
    let asked: Vec<()> = stream::iter(asking)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let dialled = sidecar.said("connected to the API server");
    println!("{} requests over {dialled} connections", asked.len());
    ensure!(dialled > count / 200, "no goodbyes: {dialled} connections");

    let map = json!({ "metadata": { "name": "after-goodbyes" } });
    let created = client.post(&url).json(&map).send().await?;
    created.error_for_status()?;
    let event = events.chunk().await?.context("the watch has ended")?;
    let event: Value = serde_json::from_slice(&event)?;
    ensure!(
        event["object"]["metadata"]["name"] == "after-goodbyes",
        "{event}"
    );
    Ok(())
}
