//! Probes that tell the truth: each is broken, and the pod's conditions are looked
//! at as the kubelet tells them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::wait::until;
use serde_json::Value;

use crate::admin_forward::AdminForward;
use crate::connector::Connector;
use crate::node::{Pod, Process};
use crate::server;
use crate::stage::{Set, Stage};

/// Five times what the manifest's probes and the links' pings add up to, a minute
/// and a half for a process that does not answer to SIGTERM either.
const NOTICED: Duration = Duration::from_secs(450);

pub(crate) async fn a_client_without_its_server_is_not_ready(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    tokio::try_join!(server_is_gone(set), server_refuses(set))?;
    Ok(())
}

async fn server_is_gone(set: &Set) -> Result<()> {
    let connector = Connector::install(set, "cut-off", &[]).await?;
    let client = Process::of(&connector, set, "tunnel-client").await?;
    let address = server::address_in_the_network(set)?.ip().to_string();
    client.cut_off(set, &address).await?;
    let pod = becomes(&connector, set, "not ready without a server", |pod| {
        !pod.client.ready && !pod.ready
    })
    .await?;
    ensure!(pod.sidecar.ready, "{pod:?}");
    let told = readyz(&connector, set, 8003).await?;
    ensure!(told.contains("no link to https://culvert.test"), "{told}");
    client.reconnect(set, &address).await?;
    let pod = becomes(&connector, set, "ready with its server", |pod| pod.ready).await?;
    ensure!(pod.client.restarts == 0, "{pod:?}");
    works(&connector, set).await?;
    connector.remove(set).await
}

/// Then it ends, as it would be refused for good, and the kubelet tries again.
async fn server_refuses(set: &Set) -> Result<()> {
    let connector = Connector::install(set, "refused", &[]).await?;
    let mut tokens = Value::Array(Vec::new());
    let mut swap = || {
        set.server.change(|config| {
            let mut clusters = config.clusters.iter_mut();
            let cluster = clusters.find(|it| it["name"] == "refused");
            let cluster = cluster.context("the server does not know it")?;
            std::mem::swap(&mut cluster["connectorTokens"], &mut tokens);
            Ok(())
        })
    };
    swap()?;
    let pod = becomes(&connector, set, "not ready when refused", |pod| {
        !pod.client.ready && !pod.ready
    })
    .await?;
    ensure!(pod.sidecar.ready, "{pod:?}");
    swap()?;
    becomes(&connector, set, "ready when let in", |pod| pod.ready).await?;
    works(&connector, set).await?;
    connector.remove(set).await
}

pub(crate) async fn a_sidecar_without_its_api_server_is_not_ready(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "beheaded", &[]).await?;
    let address = "--output=jsonpath={.spec.clusterIP}";
    let address = set
        .admin(&["get", "service/kubernetes", "--namespace=default", address])
        .await?;
    let sidecar = Process::of(&connector, set, "proxy-sidecar").await?;
    sidecar.cut_off(set, &address).await?;
    let pod = becomes(&connector, set, "not ready without an API server", |pod| {
        !pod.sidecar.ready && !pod.ready
    })
    .await?;
    // Its link is up, and the sidecar answers: callers are told what is wrong.
    ensure!(pod.client.ready, "{pod:?}");
    let told = readyz(&connector, set, 8002).await?;
    ensure!(told.starts_with("the API server"), "{told}");
    sidecar.reconnect(set, &address).await?;
    let pod = becomes(&connector, set, "ready with its API server", |pod| {
        pod.ready
    })
    .await?;
    ensure!(pod.client.restarts + pod.sidecar.restarts == 0, "{pod:?}");
    works(&connector, set).await?;
    connector.remove(set).await
}

pub(crate) async fn what_stands_still_is_restarted(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    tokio::try_join!(
        stands_still(set, "tunnel-client", "still-client"),
        stands_still(set, "proxy-sidecar", "still-sidecar")
    )?;
    Ok(())
}

async fn stands_still(set: &Set, program: &'static str, name: &str) -> Result<()> {
    let connector = Connector::install(set, name, &[]).await?;
    let process = Process::of(&connector, set, program).await?;
    process.signal(set, "STOP").await?;
    let not_ready = format!("not ready as {program} stands still");
    let pod = becomes(&connector, set, &not_ready, |pod| {
        // The client asks the sidecar; the sidecar does not ask the client.
        let sidecars_part = program == "tunnel-client" || !pod.sidecar.ready;
        !pod.ready && !pod.client.ready && sidecars_part
    })
    .await?;
    ensure!(pod.container(program).restarts == 0, "{pod:?}");
    if program == "tunnel-client" {
        ensure!(pod.sidecar.ready, "{pod:?}");
    }
    let healed = format!("ready with another {program}");
    let pod = becomes(&connector, set, &healed, |pod| {
        pod.ready && pod.container(program).restarts == 1
    })
    .await?;
    let restarts = pod.client.restarts + pod.sidecar.restarts;
    ensure!(restarts == 1, "the other one was restarted, too: {pod:?}");
    works(&connector, set).await?;
    connector.remove(set).await
}

/// Waits for a state of the pod, and says how long that took.
async fn becomes(
    connector: &Connector,
    set: &Set,
    what: &str,
    is_so: impl Fn(&Pod) -> bool,
) -> Result<Pod> {
    let started = Instant::now();
    let pod = until(what, NOTICED, || async {
        let pod = Pod::of(connector, set).await?;
        Ok(pod.filter(|pod| is_so(pod)))
    })
    .await?;
    println!("{}: {what} after {:.0?}", connector.name, started.elapsed());
    Ok(pod)
}

/// What a container says about its readiness, which it lacks.
async fn readyz(connector: &Connector, set: &Set, port: u16) -> Result<String> {
    let forward = AdminForward::start(connector, set, port).await?;
    let answer = forward.get("/readyz").await?;
    ensure!(answer.status() == 503, "{answer:?}");
    Ok(answer.text().await?)
}

async fn works(connector: &Connector, set: &Set) -> Result<()> {
    let caller = connector.caller(set)?;
    caller.kubectl(&["get", "pods", "--all-namespaces"]).await?;
    Ok(())
}
