//! What happens when the audit log cannot be written: nobody is served without a
//! record, unless that was asked for, and no record is lost.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::service::Service;
use integration::wait::until;
use serde_json::{Value, json};

use crate::lines;

const LOG: &str = "audit.log";
pub(crate) const FULL: &str = "/dev/full";
/// A cluster without a link: that it has none is told to whoever is served.
const EMPTY: &str = "empty";

fn options(more: &[&str]) -> ChainOptions {
    // Many requests to a cluster without a link: none is to wait for one.
    let arguments = ["--audit-log", LOG, "--hold-seconds", "0"]
        .iter()
        .chain(more);
    ChainOptions {
        server_arguments: arguments.map(|one| (*one).to_owned()).collect(),
        ..ChainOptions::bare()
    }
}

/// Starts a server whose log is prepared in its folder, as the chain itself makes
/// the folder.
pub(crate) async fn start(
    environment: &Environment,
    more: &[&str],
    prepare: impl FnOnce(&Path) -> Result<()>,
) -> Result<Chain> {
    let (mut chain, _) = played_cluster::start(environment, ChainOptions::bare()).await?;
    chain.config.cluster(EMPTY, &[]);
    chain.config.callers[0]["clusters"] = json!(["*"]);
    chain.write_config()?;
    prepare(&chain.folder().join(LOG))?;
    chain.set_server_arguments(options(more).server_arguments);
    chain.restart_server().await?;
    Ok(chain)
}

/// Calls the cluster that has no link; gives what the tunnel said.
pub(crate) async fn call(chain: &Chain, path: &str) -> Result<String> {
    let host = format!("{EMPTY}.{BASE_DOMAIN}");
    let mut caller = chain.raw_caller().await?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        chain.access_token.expose()
    );
    caller.send(head).await?;
    let (answer, _) = caller.rest().await?;
    let said = answer.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("culvert-error: ")
            .map(str::to_owned)
    });
    let said = said.with_context(|| format!("the tunnel did not answer: {answer}"))?;
    if said == "audit-unavailable" {
        let again = answer.to_ascii_lowercase().contains("retry-after: 1");
        ensure!(answer.starts_with("HTTP/1.1 503") && again, "{answer}");
    }
    Ok(said)
}

/// Calls until the tunnel says that; counts the calls before that were served.
async fn call_until(chain: &Chain, path: &str, wanted: &str) -> Result<usize> {
    let served = std::sync::atomic::AtomicUsize::new(0);
    until(wanted, SOON, || async {
        let said = call(chain, path).await?;
        if said == wanted {
            return Ok(Some(()));
        }
        if said == "no-link" {
            served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(None)
    })
    .await?;
    Ok(served.into_inner())
}

pub(crate) async fn metric(chain: &Chain, name: &str) -> Result<f64> {
    let name = format!("tunnel_server_audit_{name}");
    chain.server.metric(&name).await?.context("no metric")
}

/// As `ln -sf`, at once.
pub(crate) fn point_at(log: &Path, target: impl AsRef<Path>) -> Result<()> {
    let beside = log.with_extension("new");
    symlink(target, &beside)?;
    Ok(std::fs::rename(beside, log)?)
}

fn of_requests(all: &[Value], path: &str) -> usize {
    lines::at(all, "request", path).len()
}

pub(crate) async fn a_full_disk_stops_requests(environment: Arc<Environment>) -> Result<()> {
    let chain = start(&environment, &[], |log| point_at(log, FULL)).await?;
    let served = call_until(&chain, "/before", "audit-unavailable").await?;
    ensure!(call(&chain, "/refused").await? == "audit-unavailable");
    ensure!(metric(&chain, "failures_total").await? >= 1.0);
    ensure!(metric(&chain, "current").await? == 0.0);
    let code = "tunnel_server_requests_total{outcome=\"audit-unavailable\"}";
    ensure!(chain.server.metric(code).await? >= Some(2.0));

    let target = chain.folder().join("disk-with-room");
    point_at(&chain.folder().join(LOG), &target)?;
    let refused = call_until(&chain, "/after", "no-link").await?;
    ensure!(refused == 0);
    // Links are made again, too.
    chain.linked().await?;
    let all = until("the lines", SOON, || async {
        let all = lines::of_file(&target)?;
        let links = all.iter().filter(|line| line["event"] == "link").count();
        Ok((of_requests(&all, "/after") == 1 && links == 1).then_some(all))
    })
    .await?;
    ensure!(metric(&chain, "current").await? == 1.0);
    ensure!(metric(&chain, "unrecorded_total").await? == 0.0);
    let kept = of_requests(&all, "/before");
    println!("{served} requests were served before the full disk was noticed");
    ensure!(kept == served, "{kept} lines of {served} requests");
    ensure!(of_requests(&all, "/refused") == 0);
    chain.stop().await
}

pub(crate) async fn requests_pass_where_they_may(environment: Arc<Environment>) -> Result<()> {
    let chain = start(&environment, &["--audit-failure", "pass"], |log| {
        point_at(log, FULL)
    })
    .await?;
    until("a failure", SOON, || async {
        ensure!(call(&chain, "/while-full").await? == "no-link");
        Ok((metric(&chain, "failures_total").await? >= 1.0).then_some(()))
    })
    .await?;
    for _ in 0..20 {
        ensure!(call(&chain, "/passes").await? == "no-link");
    }
    ensure!(metric(&chain, "current").await? == 0.0);
    let target = chain.folder().join("disk-with-room");
    point_at(&chain.folder().join(LOG), &target)?;
    until("the lines that were kept", SOON, || async {
        let all = lines::of_file(&target).unwrap_or_default();
        Ok((of_requests(&all, "/passes") == 20).then_some(()))
    })
    .await?;
    ensure!(metric(&chain, "unrecorded_total").await? == 0.0);
    chain.stop().await
}

/// Both ends are held, so that opening waits for nobody.
fn make_pipe(log: &Path) -> Result<File> {
    ensure!(Command::new("mkfifo").arg(log).status()?.success());
    Ok(OpenOptions::new().read(true).write(true).open(log)?)
}

pub(crate) async fn a_pipe_nobody_reads(environment: Arc<Environment>) -> Result<()> {
    let mut pipe = None;
    let chain = start(&environment, &[], |log| {
        pipe = Some(make_pipe(log)?);
        Ok(())
    })
    .await?;
    let mut pipe = pipe.context("no pipe")?;
    // Its 64 KiB take some lines; this path makes them long.
    let path = format!("/{}", "long/".repeat(300));
    let mut served = call_until(&chain, &path, "audit-unavailable").await?;
    println!("{served} requests were served before the full pipe was noticed");
    ensure!(served > 10);

    let reading = tokio::task::spawn_blocking(move || -> Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        while !all.windows(6).any(|window| window == b"\"/last") {
            let count = pipe.read(&mut buffer)?;
            all.extend_from_slice(&buffer[..count]);
        }
        Ok(all)
    });
    until("the server serves again", SOON, || async {
        let again = call(&chain, &path).await? == "no-link";
        Ok(again.then_some(()))
    })
    .await?;
    served += 1;
    ensure!(call(&chain, "/last").await? == "no-link");
    let all = tokio::time::timeout(SOON, reading).await???;
    let all = String::from_utf8(all)?;
    let whole: Vec<Value> = all
        .lines()
        .map(|line| serde_json::from_str(line).context("a line is damaged"))
        .collect::<Result<_>>()?;
    let kept = of_requests(&whole, &path);
    ensure!(kept == served, "{kept} lines of {served} requests");

    // Without anybody at its other end there is nothing to wait for.
    let folder = chain.folder().join("unread");
    std::fs::create_dir(&folder)?;
    drop(make_pipe(&folder.join(LOG))?);
    let config = chain.config_path().display().to_string();
    let arguments = ["--config", &config, "--dev", "dev", "--audit-log", LOG].map(str::to_owned);
    let ended = Service::run_to_end(chain.spawner(), "tunnel-server", &arguments, &folder).await?;
    ensure!(
        ended.0 == Some(1) && ended.1.contains("--audit-log audit.log: "),
        "{ended:?}"
    );
    chain.stop().await
}
