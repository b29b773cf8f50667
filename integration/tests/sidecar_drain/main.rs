//! How proxy-sidecar ends: what its callers may still do after SIGTERM, what a SIGINT
//! and a second signal close, and what is cut at the deadline.

mod sidecar;
mod watches;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::{ChainOptions, SOON};
use integration::environment::Environment;
use integration::raw_http::Ended;
use integration::service::Service;
use integration::wait::until;
use integration::{played_cluster, suite, tests};
use tokio::net::TcpStream;

use sidecar::{AT_ONCE, Sidecar, exchange, must_be_cut};
use watches::{
    a_watch_of_another_format_is_cut_at_the_deadline, kubectl_takes_it_for_a_watchs_end,
    played_watches_end_between_two_events, real_watches_end_between_two_events,
};

const GET: &str = "GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";

fn main() -> ExitCode {
    suite::run(tests![
        callers_are_served_until_they_are_gone,
        with_no_connection_open_it_ends_at_once,
        an_interrupt_closes_what_is_idle,
        a_second_signal_ends_all_at_once,
        what_is_open_is_cut_at_the_deadline,
        tunnel_client_drains_through_it,
        played_watches_end_between_two_events,
        a_watch_of_another_format_is_cut_at_the_deadline,
        real_watches_end_between_two_events,
        kubectl_takes_it_for_a_watchs_end,
    ])
}

async fn callers_are_served_until_they_are_gone(_: Arc<Environment>) -> Result<()> {
    let (mut sidecar, upstream) = Sidecar::played(&[]).await?;
    let mut kept = sidecar.caller().await?;
    exchange(&mut kept, &upstream).await?;
    sidecar.terminate().await?;
    exchange(&mut kept, &upstream).await?;
    let mut new = sidecar.caller().await?;
    exchange(&mut new, &upstream).await?;
    drop(kept);
    exchange(&mut new, &upstream).await?;
    let silent = sidecar.caller().await?;
    drop(new);
    // One that has said nothing may be about to.
    ensure!(sidecar.service.admin_page("/livez").await?.0 == 200);
    let last = Instant::now();
    drop(silent);
    let end = sidecar.ends(last, AT_ONCE).await?;
    ensure!(end["cut"] == 0, "{end}");
    ensure!(end["reason"] == "no connection is open", "{end}");
    Ok(())
}

async fn with_no_connection_open_it_ends_at_once(_: Arc<Environment>) -> Result<()> {
    for signal in [Service::terminate, Service::interrupt] {
        let (mut sidecar, upstream) = Sidecar::played(&[]).await?;
        // It was used, and its own connections do not count.
        let mut caller = sidecar.caller().await?;
        caller.send(GET).await?;
        let (mut connection, _) = upstream.request().await?;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        connection.send(answer).await?;
        caller.head().await?;
        drop(caller);
        let asked = Instant::now();
        signal(&sidecar.service)?;
        let end = sidecar.ends(asked, AT_ONCE).await?;
        ensure!(end["cut"] == 0, "{end}");
    }
    Ok(())
}

async fn an_interrupt_closes_what_is_idle(_: Arc<Environment>) -> Result<()> {
    let (mut sidecar, upstream) = Sidecar::played(&[]).await?;
    let (mut kept, mut silent) = (sidecar.caller().await?, sidecar.caller().await?);
    exchange(&mut kept, &upstream).await?;
    let (mut caller, mut connection) = sidecar.open(&upstream, GET, CHUNKED).await?;
    sidecar.interrupt().await?;
    for idle in [&mut kept, &mut silent] {
        ensure!(idle.rest().await? == (String::new(), Ended::Closed));
    }
    let address = sidecar.service.address.context("no address")?;
    ensure!(TcpStream::connect(address).await.is_err(), "it listens");
    // What is open may end.
    connection.send("4\r\nlast\r\n").await?;
    caller.through("last\r\n").await?;
    connection.send("0\r\n\r\n").await?;
    let last = Instant::now();
    ensure!(caller.rest().await? == ("0\r\n\r\n".to_owned(), Ended::Closed));
    let end = sidecar.ends(last, AT_ONCE).await?;
    ensure!(end["cut"] == 0, "{end}");
    Ok(())
}

async fn a_second_signal_ends_all_at_once(_: Arc<Environment>) -> Result<()> {
    type Send = fn(&Service) -> Result<()>;
    let (terminate, interrupt): (Send, Send) = (Service::terminate, Service::interrupt);
    for (first, second) in [
        (terminate, terminate),
        (terminate, interrupt),
        (interrupt, terminate),
        (interrupt, interrupt),
    ] {
        let (mut sidecar, upstream) = Sidecar::played(&[]).await?;
        let (mut caller, _connection) = sidecar.open(&upstream, GET, CHUNKED).await?;
        first(&sidecar.service)?;
        sidecar.service.says("draining").await?;
        let asked = Instant::now();
        second(&sidecar.service)?;
        must_be_cut("an answer", &caller.rest().await?)?;
        let end = sidecar.ends(asked, AT_ONCE).await?;
        ensure!(end["cut"] == 1, "{end}");
        ensure!(end["reason"] == "a second signal", "{end}");
    }
    Ok(())
}

async fn what_is_open_is_cut_at_the_deadline(_: Arc<Environment>) -> Result<()> {
    const DEADLINE: Duration = Duration::from_secs(2);
    let (mut sidecar, upstream) = Sidecar::played(&["--drain-seconds=2"]).await?;
    let (mut chunked, mut chunks) = sidecar.open(&upstream, GET, CHUNKED).await?;
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfirst";
    let (mut counted, _counts) = sidecar.open(&upstream, GET, counted).await?;
    let mut upload = sidecar.caller().await?;
    upload
        .send("POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await?;
    let (mut uploaded, _) = upstream.request().await?;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (mut upgraded, mut end) = sidecar
        .open(
            &upstream,
            &format!("GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n{upgrade}"),
            &format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}"),
        )
        .await?;
    let mut idle = sidecar.caller().await?;
    exchange(&mut idle, &upstream).await?;

    let asked = Instant::now();
    sidecar.terminate().await?;
    // Until then they go on.
    chunks.send("4\r\nmore\r\n").await?;
    chunked.through("more\r\n").await?;
    upload.send("4\r\nmore\r\n").await?;
    uploaded.through("more\r\n").await?;
    upgraded.send("ping").await?;
    ensure!(end.exactly(4).await? == "ping");
    end.send("pong").await?;
    ensure!(upgraded.exactly(4).await? == "pong");

    let (upgraded, idle) = tokio::try_join!(upgraded.rest(), idle.rest())?;
    ensure!(asked.elapsed() >= DEADLINE, "{:?}", asked.elapsed());
    ensure!(upgraded == (String::new(), Ended::Broken), "{upgraded:?}");
    ensure!(idle == (String::new(), Ended::Closed), "{idle:?}");
    must_be_cut("an answer", &chunked.rest().await?)?;
    ensure!(counted.rest().await?.0 == "first");
    must_be_cut("an upload", &uploaded.rest().await?)?;
    let end = sidecar.ends(asked, DEADLINE + AT_ONCE).await?;
    ensure!(end["cut"] == 4, "{end}");
    ensure!(end["reason"] == "the time is over", "{end}");
    Ok(())
}

/// Told to end before it, as in a pod, and it serves tunnel-client to its end: on the
/// connections that are open, and on new ones.
async fn tunnel_client_drains_through_it(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let client = chain.caller()?;
    let url = format!("{}/api/v1/pods", chain.url_by_host());
    let answered = async || {
        let answer = async {
            let (mut connection, _) = cluster.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                .await
        };
        let call = async { anyhow::Ok(client.get(&url).send().await?.text().await?) };
        let (text, ()) = tokio::try_join!(call, answer)?;
        ensure!(text == "ok", "{text}");
        anyhow::Ok(())
    };
    answered().await?;
    let open = async || {
        let answer = async {
            let (mut connection, _) = cluster.request().await?;
            connection.send(CHUNKED).await?;
            anyhow::Ok(connection)
        };
        let call = async { anyhow::Ok(client.get(&url).send().await?) };
        tokio::try_join!(call, answer)
    };
    let (first, mut first_end) = open().await?;
    let sidecar = chain.sidecar.as_ref().context("no sidecar")?;
    sidecar.terminate()?;
    sidecar.says("draining").await?;
    answered().await?;
    // Each takes tunnel-client's idle connection, or a new one.
    let (second, mut second_end) = open().await?;
    let (third, mut third_end) = open().await?;
    answered().await?;

    chain.client.terminate()?;
    until("the client's drain", SOON, || async {
        let refused = client.get(&url).send();
        let asked = async {
            let (mut connection, _) = cluster.request().await?;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            connection.send(answer).await?;
            std::future::pending::<Result<()>>().await
        };
        tokio::select! {
            response = refused => Ok((response?.status() == 503).then_some(())),
            failed = asked => failed.map(Some),
        }
    })
    .await?;
    for (answer, end) in [
        (first, &mut first_end),
        (second, &mut second_end),
        (third, &mut third_end),
    ] {
        end.send("4\r\nlast\r\n0\r\n\r\n").await?;
        ensure!(answer.text().await? == "firstlast");
    }
    let last = Instant::now();
    let sidecar = chain.sidecar.as_mut().context("no sidecar")?;
    for service in [&mut chain.client, sidecar] {
        ensure!(service.ended(SOON).await? == Some(0));
        let lines = service.log_lines();
        let end = lines.iter().rfind(|line| line["message"] == "ended");
        ensure!(end.is_some_and(|end| end["cut"] == 0), "{end:?}");
    }
    ensure!(last.elapsed() < AT_ONCE, "{:?}", last.elapsed());
    chain.stop().await
}
