//! Watches through the whole chain: over chunked HTTP/1.1, over HTTP/2 and as a
//! WebSocket.

mod many;
mod objects;
mod watcher;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::wait::until;
use integration::{suite, tests};

use many::three_hundred_watches_hinder_no_other_request;
use objects::{Objects, open_watches};
use serde_json::Value;
use watcher::Way;

fn main() -> ExitCode {
    suite::run(tests![
        an_event_is_seen_while_the_stream_is_otherwise_silent,
        initial_events_end_with_a_bookmark,
        a_caller_that_goes_away_ends_its_watch_in_the_api_server,
        a_watch_that_the_api_server_ends_ends_cleanly,
        three_hundred_watches_hinder_no_other_request,
    ])
}

async fn an_event_is_seen_while_the_stream_is_otherwise_silent(
    environment: Arc<Environment>,
) -> Result<()> {
    let objects = Objects::new(environment.kubernetes().await?, "silent").await?;
    let chain = environment.chain().await?;
    for way in Way::ALL {
        let path = objects.watch_from_now().await?;
        let mut watch = way.open(&chain, &path).await?;
        // Nothing follows an event that could push it along.
        for name in ["first", "second"].map(|name| format!("{name}-{way:?}").to_lowercase()) {
            let started = Instant::now();
            objects.create(&name).await?;
            let event = watch.event().await?;
            println!(
                "{way:?}: an event was seen {:.1?} after its cause",
                started.elapsed()
            );
            ensure!(event["type"] == "ADDED", "{event}");
            ensure!(event["object"]["metadata"]["name"] == name, "{event}");
        }
    }
    chain.stop().await
}

async fn initial_events_end_with_a_bookmark(environment: Arc<Environment>) -> Result<()> {
    const OBJECTS: usize = 20;
    let objects = Objects::new(environment.kubernetes().await?, "watch-list").await?;
    for number in 0..OBJECTS {
        objects.create(&format!("initial-{number:02}")).await?;
    }
    let chain = environment.chain().await?;
    let path = format!(
        "{}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
         &allowWatchBookmarks=true",
        objects.config_maps()
    );
    for (before, way) in Way::ALL.into_iter().enumerate() {
        let mut watch = way.open(&chain, &path).await?;
        for _ in 0..OBJECTS + before {
            let event = watch.event().await?;
            ensure!(event["type"] == "ADDED", "{way:?}: {event}");
        }
        // The API server may send an ordinary one before it.
        while !ends_initial_events(&watch.event().await?)? {}

        let name = format!("later-{way:?}").to_lowercase();
        objects.create(&name).await?;
        let event = watch.event().await?;
        ensure!(
            event["object"]["metadata"]["name"] == name,
            "{way:?}: {event}"
        );
    }
    chain.stop().await
}

fn ends_initial_events(event: &Value) -> Result<bool> {
    ensure!(event["type"] == "BOOKMARK", "{event}");
    let annotations = &event["object"]["metadata"]["annotations"];
    Ok(annotations["k8s.io/initial-events-end"] == "true")
}

async fn a_caller_that_goes_away_ends_its_watch_in_the_api_server(
    environment: Arc<Environment>,
) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let chain = environment.chain().await?;
    // Resources that nobody else watches in one namespace.
    let resources = ["podtemplates", "replicationcontrollers", "limitranges"];
    for (way, resource) in Way::ALL.into_iter().zip(resources) {
        let count = async |expected: f64| {
            until(
                &format!("{expected} watches of {resource}, {way:?}"),
                SOON,
                || async {
                    let open = open_watches(control_plane, resource).await?;
                    Ok((open == expected).then_some(()))
                },
            )
            .await
        };
        count(0.0).await?;
        let path = format!("/api/v1/namespaces/default/{resource}?watch=true");
        let leaving = way.open(&chain, &path).await?;
        let staying = way.open(&chain, &path).await?;
        count(2.0).await?;
        let started = Instant::now();
        drop(leaving);
        count(1.0).await?;
        println!(
            "{way:?}: the watch ended in the API server after {:.1?}",
            started.elapsed()
        );
        drop(staying);
        count(0.0).await?;
    }
    chain.stop().await
}

async fn a_watch_that_the_api_server_ends_ends_cleanly(
    environment: Arc<Environment>,
) -> Result<()> {
    let objects = Objects::new(environment.kubernetes().await?, "ending").await?;
    objects.create("one").await?;
    let chain = environment.chain().await?;
    let path = format!("{}?watch=true&timeoutSeconds=1", objects.config_maps());
    for way in Way::ALL {
        let mut watch = way.open(&chain, &path).await?;
        let event = watch.event().await?;
        ensure!(event["object"]["metadata"]["name"] == "one", "{event}");
        let end = watch.next().await?;
        ensure!(end.is_none(), "{way:?}: {end:?} instead of the end");
    }
    chain.stop().await
}
