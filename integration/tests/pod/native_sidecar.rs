//! proxy-sidecar as a native sidecar: kubelet's order holds at both ends.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::wait::until;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::connector::Connector;
use crate::stage::{SOON, Set, Stage};

/// Keeps the object of a pod that has ended, with its containers' ends in it.
const FINALIZER: &str = "culvert.test/looked-at";
/// Longer than the pause with which an ordinary pair ends in order when nothing is
/// open.
const OPEN_SECONDS: u64 = 12;

pub(crate) async fn a_native_sidecar_ends_after_the_client(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "native", &["native-sidecar"]).await?;
    let caller = connector.caller(set)?;
    caller.kubectl(&["get", "pods", "--all-namespaces"]).await?;
    let pod = connector.pod(set).await?;
    starts_in_order(&connector, set, &pod).await?;

    let mut sidecars_log = follow(&connector, set, &pod)?;
    // What is open at the end needs both.
    let watch = format!("/api/v1/pods?watch=true&timeoutSeconds={OPEN_SECONDS}");
    let mut watch = caller
        .command(&["get", "--raw", &watch])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut events = BufReader::new(watch.stdout.take().context("stdout")?).lines();
    ensure!(events.next_line().await?.is_some(), "the watch saw nothing");

    let namespace = format!("--namespace={}", connector.namespace);
    let keep = format!("{{\"metadata\":{{\"finalizers\":[\"{FINALIZER}\"]}}}}");
    set.admin(&["patch", "pod", &pod, &namespace, "--patch", &keep])
        .await?;
    set.admin(&["delete", "pod", &pod, &namespace, "--wait=false"])
        .await?;
    while events.next_line().await?.is_some() {}
    ensure!(watch.wait().await?.success(), "the watch was cut");

    let ended = until("the client's end", SOON, || async {
        let pod = object(&connector, set, &pod).await?;
        Ok(terminated(&pod["status"]["containerStatuses"][0]))
    })
    .await?;
    let drains = line(&mut sidecars_log, "draining").await?;
    until("the sidecar's end", SOON, || async {
        let pod = object(&connector, set, &pod).await?;
        Ok(terminated(&pod["status"]["initContainerStatuses"][0]))
    })
    .await?;
    let release = ["patch", "pod", &pod, &namespace, "--type=merge", "--patch"];
    let none = ["{\"metadata\":{\"finalizers\":null}}"];
    set.admin(&[release.as_slice(), &none].concat()).await?;
    // Both by the node's clock; the end of a container is told in whole seconds.
    ensure!(
        drains >= ended,
        "the sidecar was told to end at {drains}, the client had ended at {ended}"
    );
    connector.ready(set).await?;
    connector.remove(set).await
}

async fn starts_in_order(connector: &Connector, set: &Set, pod: &str) -> Result<()> {
    let pod = object(connector, set, pod).await?;
    let (client, sidecar) = (
        &pod["status"]["containerStatuses"][0],
        &pod["status"]["initContainerStatuses"][0],
    );
    ensure!(client["name"] == "tunnel-client", "{client}");
    ensure!(sidecar["name"] == "proxy-sidecar", "{sidecar}");
    for container in [client, sidecar] {
        ensure!(container["ready"] == true, "{container}");
        ensure!(container["restartCount"] == 0, "{container}");
    }
    let started = |container: &Value| container["state"]["running"]["startedAt"].clone();
    ensure!(started(sidecar).as_str() <= started(client).as_str());
    Ok(())
}

async fn object(connector: &Connector, set: &Set, pod: &str) -> Result<Value> {
    let namespace = format!("--namespace={}", connector.namespace);
    let arguments = ["get", "pod", pod, &namespace, "--output=json"];
    Ok(serde_json::from_str(&set.admin(&arguments).await?)?)
}

fn terminated(container: &Value) -> Option<OffsetDateTime> {
    let at = container["state"]["terminated"]["finishedAt"].as_str()?;
    OffsetDateTime::parse(at, &Rfc3339).ok()
}

/// The log of the sidecar, each line with its time, until its end.
fn follow(connector: &Connector, set: &Set, pod: &str) -> Result<Child> {
    let namespace = format!("--namespace={}", connector.namespace);
    let flags = ["--follow", "--timestamps", "--container=proxy-sidecar"];
    Ok(Command::from(set.cluster.kubectl())
        .args(["logs", pod, &namespace])
        .args(flags)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?)
}

/// When the first line with `text` in it was said.
async fn line(log: &mut Child, text: &str) -> Result<OffsetDateTime> {
    let mut lines = BufReader::new(log.stdout.take().context("stdout")?).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains(text) {
            let (time, _) = line.split_once(' ').context("a line without its time")?;
            return Ok(OffsetDateTime::parse(time, &Rfc3339)?);
        }
    }
    anyhow::bail!("the log has no line with {text:?}")
}
