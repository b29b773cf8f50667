//! What is killed comes back by itself. How long that takes is printed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::wait::until;

use crate::connector::Connector;
use crate::node::{self, Pod, Process};
use crate::stage::{Set, Stage};
use crate::workload::Workload;

/// Far above what each takes, also on a loaded machine.
const BACK: Duration = Duration::from_secs(180);

pub(crate) async fn a_pod_deleted_with_force_is_replaced(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "forced", &[]).await?;
    let first = connector.pod(set).await?;
    let namespace = format!("--namespace={}", connector.namespace);
    let started = Instant::now();
    let force = ["--force", "--grace-period=0"];
    let delete = ["delete", "pod", &first, &namespace];
    set.admin(&[delete.as_slice(), &force].concat()).await?;
    until("another pod", BACK, || async {
        let pod = Pod::of(&connector, set).await?;
        Ok(pod.filter(|pod| pod.name != first && pod.client.running && pod.sidecar.running))
    })
    .await?;
    answers(&connector, set, "a pod deleted with force", started).await?;
    connector.remove(set).await
}

pub(crate) async fn a_killed_container_is_restarted(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "killed", &[]).await?;
    for program in ["tunnel-client", "proxy-sidecar"] {
        let process = Process::of(&connector, set, program).await?;
        let started = Instant::now();
        process.signal(set, "KILL").await?;
        until("the container's restart", BACK, || async {
            let pod = Pod::of(&connector, set).await?;
            let pod = pod.filter(|pod| pod.container(program).restarts == 1);
            Ok(pod.filter(|pod| pod.container(program).running))
        })
        .await?;
        answers(&connector, set, &format!("a killed {program}"), started).await?;
    }
    connector.remove(set).await
}

/// Other tests' streams would break with it: it runs alone.
pub(crate) async fn a_restarted_kubelet_hinders_no_call(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "kubelet", Connector::MIGHTY).await?;
    let caller = connector.caller(set)?;
    let shell = Workload::idle(set, "kubelet").await?;
    let before = Pod::of(&connector, set).await?;
    let started = Instant::now();
    node::run(set, "systemctl restart kubelet").await?;
    // What needs no kubelet goes on meanwhile.
    caller.kubectl(&["get", "pods", "--all-namespaces"]).await?;
    println!("a call was answered {:.1?} after", started.elapsed());
    let exec = ["exec", "--namespace=kubelet", "shell", "--", "echo", "back"];
    until("an exec", BACK, || async {
        Ok(caller
            .kubectl(&exec)
            .await
            .ok()
            .filter(|said| said == "back\n"))
    })
    .await?;
    println!(
        "a restarted kubelet: exec works after {:.1?}",
        started.elapsed()
    );
    connector.ready(set).await?;
    let after = Pod::of(&connector, set).await?;
    let facts = |pod: &Option<Pod>| {
        let pod = pod.as_ref()?;
        Some((pod.name.clone(), pod.client.restarts, pod.sidecar.restarts))
    };
    ensure!(
        facts(&before).is_some() && facts(&before) == facts(&after),
        "{before:?} became {after:?}"
    );
    shell.remove(set).await?;
    connector.remove(set).await
}

/// Calls until it is answered, and waits until the pod is ready again.
async fn answers(connector: &Connector, set: &Set, what: &str, started: Instant) -> Result<()> {
    let caller = connector.caller(set)?;
    let there = started.elapsed();
    let get = ["get", "pods", "--all-namespaces", "--request-timeout=5s"];
    until("an answered call", BACK, || async {
        Ok(caller.kubectl(&get).await.ok())
    })
    .await?;
    let answered = started.elapsed();
    connector.ready(set).await?;
    println!(
        "{what}: runs after {there:.1?}, answers after {answered:.1?}, ready after {:.1?}",
        started.elapsed()
    );
    caller.kubectl(&get).await.map(drop)
}
