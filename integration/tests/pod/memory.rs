//! What the pod's two processes hold in memory: idle, under what a platform keeps
//! open, and while that carries bytes.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::caller::Streams;
use crate::connector::Connector;
use crate::echo::Echo;
use crate::node::Process;
use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::{SOON, Set, Stage};
use crate::workload::Workload;

const WATCHES: usize = 100;
const SESSIONS: usize = 10;
/// What each session carries there and back.
const CARRIED: u64 = 10 << 20;
/// What is said once all sessions' bytes are read.
const READ: &str = "read";
/// Half of the smaller of the manifest's limits, KiB.
const ENOUGH: u64 = 64 << 10;

pub(crate) async fn memory_stays_far_below_the_limit(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "measured", Connector::MIGHTY).await?;
    let shell = Workload::idle(set, "measured").await?;
    let processes = [
        Process::of(&connector, set, "tunnel-client").await?,
        Process::of(&connector, set, "proxy-sidecar").await?,
    ];
    measure(set, &processes, "idle").await?;
    let watches = watch(&connector, set).await?;
    let sessions = open_sessions(&connector, &shell, set).await?;
    let open = format!(
        "{} watches and {} exec sessions",
        watches.len(),
        sessions.len()
    );
    measure(set, &processes, &open).await?;
    let mut carrying = JoinSet::new();
    for session in sessions {
        carrying.spawn(session.carry(CARRIED));
    }
    let mut carried = Vec::new();
    while let Some(session) = carrying.join_next().await {
        carried.push(session??);
    }
    shell.say(set, READ).await?;
    for session in carried {
        session.end().await?;
    }
    let mebibytes = CARRIED >> 20;
    let carried = format!("{open}, which carried {mebibytes} MiB each there and back");
    measure(set, &processes, &carried).await?;
    drop(watches);
    shell.remove(set).await?;
    connector.remove(set).await
}

async fn measure(set: &Set, processes: &[Process], under: &str) -> Result<()> {
    for process in processes {
        let (now, peak) = (
            process.kib(set, "VmRSS").await?,
            process.kib(set, "VmHWM").await?,
        );
        let program = process.program;
        println!("{program}: {now} KiB, at most {peak} KiB: {under}");
        ensure!(peak < ENOUGH, "{program} had {peak} KiB: {under}");
    }
    Ok(())
}

/// Each has seen the pod that is there, and stays open.
async fn watch(connector: &Connector, set: &Set) -> Result<Vec<reqwest::Response>> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(set.server.ca_file())?)?;
    let client = reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(set.connect_proxy())?)
        .tls_certs_only([ca])
        .build()?;
    let name = &connector.name;
    let path = "api/v1/namespaces/measured/pods?watch=true";
    let url = format!("https://{name}.{BASE_DOMAIN}:{PORT}/{path}");
    let mut open = Vec::new();
    for _ in 0..WATCHES {
        let mut watch = client
            .get(&url)
            .bearer_auth(connector.access_token.expose())
            .send()
            .await?
            .error_for_status()?;
        let event = timeout(SOON, watch.chunk()).await.context("no event")??;
        ensure!(event.is_some(), "a watch has ended");
        open.push(watch);
    }
    Ok(open)
}

async fn open_sessions(connector: &Connector, shell: &Workload, set: &Set) -> Result<Vec<Echo>> {
    let caller = connector.caller(set)?;
    let mut sessions = Vec::new();
    for streams in Streams::BOTH.into_iter().cycle().take(SESSIONS) {
        sessions.push(Echo::start(&caller, shell, streams, READ).await?);
    }
    Ok(sessions)
}
