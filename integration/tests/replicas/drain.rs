//! What is open when a server or a client ends as planned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::http1;
use integration::raw_http::{Accepted, Caller, Ended, RawUpstream};
use integration::service::Service;
use tokio::time::interval;

/// Longer than a watch lives at least and the spread of the watches' ends together.
const DRAIN: Duration = Duration::from_secs(8);
const WATCH: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Transfer-Encoding: chunked\r\n\r\n";
/// The end of a body in chunks.
const END: &str = "0\r\n\r\n";
/// An event, and the begin of the next.
const BEGUN: &str = "{\"a\":1}\n{\"b\"";
const EVENT: &str = "{\"b\":2}\n";
/// Between the pieces of a watch that goes on.
const EVERY: Duration = Duration::from_millis(20);
const SWITCH: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Both ends of a request that the cluster has answered with this head.
async fn open(
    chain: &Chain,
    upstream: &RawUpstream,
    path: &str,
    lines: &str,
    answer: &str,
) -> Result<(Caller, Accepted)> {
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "GET", path, lines))
        .await?;
    let (mut cluster, _) = upstream.request().await?;
    cluster.send(answer).await?;
    let status = &answer[..12];
    let head = caller.head().await?;
    ensure!(head.starts_with(status), "{head}");
    Ok((caller, cluster))
}

fn chunk(text: &str) -> String {
    format!("{:X}\r\n{text}\r\n", text.len())
}

pub(crate) async fn a_servers_drain_ends_watches_at_a_border_and_streams_at_its_deadline(
    environment: Arc<Environment>,
) -> Result<()> {
    drains(&environment, |chain| &mut chain.server).await
}

pub(crate) async fn a_clients_does_so_too(environment: Arc<Environment>) -> Result<()> {
    drains(&environment, |chain| &mut chain.client).await
}

async fn drains(environment: &Environment, who: fn(&mut Chain) -> &mut Service) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let drain = vec!["--drain-seconds".to_owned(), DRAIN.as_secs().to_string()];
    let options = ChainOptions {
        upstream: Some(upstream.address),
        server_arguments: drain.clone(),
        client_arguments: drain,
        ..ChainOptions::bare()
    };
    let mut chain = environment.chain_with(options).await?;
    let path = "/api/v1/pods?watch=true";
    let (mut quiet, mut quiet_cluster) = open(&chain, &upstream, path, "", WATCH).await?;
    let (mut broken, mut broken_cluster) = open(&chain, &upstream, path, "", WATCH).await?;
    let exec = "/api/v1/namespaces/a/pods/b/exec";
    let (mut stream, mut stream_cluster) = open(&chain, &upstream, exec, SWITCH, SWITCHED).await?;
    for (cluster, caller, text) in [
        (&mut quiet_cluster, &mut quiet, "{\"a\":1}\n"),
        (&mut broken_cluster, &mut broken, BEGUN),
    ] {
        cluster.send(chunk(text)).await?;
        ensure!(caller.through(&chunk(text)).await? == chunk(text));
    }

    let begun = Instant::now();
    who(&mut chain).terminate()?;
    let end = quiet.through(END).await?;
    println!("a quiet watch ended after {:?}", begun.elapsed());
    ensure!(end == END, "{end:?}");
    // One event in two pieces, again and again.
    let sending = async {
        let mut every = interval(EVERY);
        loop {
            every.tick().await;
            // It fails once the watch has ended.
            drop(broken_cluster.send(chunk(":2}\n{\"b\"")).await);
        }
    };
    let text = tokio::select! {
        text = broken.through(END) => text?,
        () = sending => unreachable!("it goes on"),
    };
    println!("one with events ended after {:?}", begun.elapsed());
    let answer = format!("{WATCH}{}{text}", chunk(BEGUN));
    let (answer, _) = http1::response(answer.as_bytes(), "GET")?.context("no whole answer")?;
    let body = String::from_utf8(answer.body)?;
    let events = body.strip_prefix("{\"a\":1}\n").context("no first event")?;
    let count = events.lines().count();
    ensure!(count > 0 && events == EVENT.repeat(count), "{body}");

    for number in 0..3 {
        let word = format!("word {number}");
        stream.send(&word).await?;
        ensure!(stream_cluster.exactly(word.len()).await? == word);
        stream_cluster.send(&word).await?;
        ensure!(stream.exactly(word.len()).await? == word);
    }
    let (more, ended) = stream.rest_within(DRAIN + SOON).await?;
    let took = begun.elapsed();
    println!("an upgraded stream was cut after {took:?}");
    ensure!(
        more.is_empty() && ended == Ended::Broken,
        "{more:?} {ended:?}"
    );
    ensure!(took >= DRAIN, "{took:?}");
    let ended = who(&mut chain);
    ensure!(ended.ended(SOON).await? == Some(0));
    let lines = ended.log_lines();
    let told = lines.iter().find(|line| line["message"] == "ended");
    ensure!(told.is_some_and(|line| line["cut"] == 1), "{told:?}");
    Ok(())
}
