//! Nobody but tunnel-client is served on proxy-sidecar's port, and nobody gets at
//! the pod's secrets: not past the tunnel, and not through it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::wait::until;
use serde_json::Value;

use crate::admin_forward::AdminForward;
use crate::connector::Connector;
use crate::images::SHELL;
use crate::stage::{SOON, Set, Stage};
use crate::workload::Workload;

const REFUSED: &str = "proxy-sidecar runs with --secret-file";

/// Prints what the port answers; then each process that it sees, and what it gets
/// at of each. Its own is the proof that it would print.
const INTRUDE: &str = r#"
printf 'GET /api HTTP/1.1\r\nHost: localhost:8001\r\nConnection: close\r\n\r\n' | nc 127.0.0.1 8001
echo; echo "user $(id -u)"
for process in /proc/[0-9]*; do
  name=$(cat $process/comm 2>/dev/null) || continue
  echo "sees $name"
  for inside in environ mem maps fd root root/run/culvert/sidecar-secret/secret \
    root/etc/culvert/connector-token/token root/var/run/secrets/kubernetes.io/serviceaccount/token; do
    if [ -d $process/$inside ]; then
      ls $process/$inside >/dev/null 2>&1 && echo "$name opens $inside"
    else
      (: < $process/$inside) 2>/dev/null && echo "$name opens $inside"
    fi
  done
done
echo looked at all
"#;

pub(crate) async fn the_sidecars_port_serves_its_client_only(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "guarded", Connector::MIGHTY).await?;
    port_forwarded(&connector, set).await?;
    for program in ["tunnel-client", "proxy-sidecar"] {
        debugged(&connector, set, program).await?;
    }
    connector.remove(set).await
}

/// By the cluster's administrator, past the tunnel.
async fn port_forwarded(connector: &Connector, set: &Set) -> Result<()> {
    let forward = AdminForward::start(connector, set, 8001).await?;
    let answer = forward.get("/api/v1/namespaces").await?;
    ensure!(answer.status() == 401, "{answer:?}");
    let status: Value = answer.json().await?;
    ensure!(status["kind"] == "Status", "{status}");
    let said = status["message"].as_str().context("no message")?;
    ensure!(said.contains(REFUSED), "{said}");
    Ok(())
}

/// By the cluster's administrator, in a container beside it, as the same user and
/// with the same processes.
async fn debugged(connector: &Connector, set: &Set, program: &str) -> Result<()> {
    let pod = connector.pod(set).await?;
    let namespace = format!("--namespace={}", connector.namespace);
    let name = format!("beside-{program}");
    let (image, target, container) = (
        format!("--image={SHELL}"),
        format!("--target={program}"),
        format!("--container={name}"),
    );
    let debug = ["debug", &pod, &namespace, &image, &target, &container];
    let flags = [
        "--image-pull-policy=Never",
        "--profile=restricted",
        "--attach=false",
        "--",
        "sh",
        "-c",
        INTRUDE,
    ];
    set.admin(&[debug.as_slice(), &flags].concat()).await?;
    let said = until("the debug container's end", SOON, || async {
        let logs = set.admin(&["logs", &pod, &namespace, &container]).await;
        Ok(logs.ok().filter(|logs| logs.contains("looked at all")))
    })
    .await?;
    ensure!(said.contains("HTTP/1.1 401"), "{said}");
    ensure!(said.contains(REFUSED), "{said}");
    ensure!(said.contains("user 65532"), "{said}");
    // Its own processes' are the proof that it would say so.
    for seen in [
        &format!("sees {program}\n"),
        "sh opens environ\n",
        "sh opens root\n",
    ] {
        ensure!(said.contains(seen), "not {seen:?}: {said}");
    }
    ensure!(!said.contains(&format!("{program} opens")), "{said}");
    Ok(())
}

/// By a caller who may do everything, as far as the cluster knows.
pub(crate) async fn no_caller_reaches_the_connectors_pod(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = set.connector().await?;
    let caller = connector.caller(set)?;
    let shell = Workload::start(set, "in-reach", "echo in reach; exec sleep 3600").await?;
    let (pod, inside, node) = (
        connector.pod(set).await?,
        connector.namespace.as_str(),
        set.cluster.node(),
    );
    let kubelet = format!("/api/v1/nodes/{node}/proxy");

    // The ways are real: they lead to another pod, and past the tunnel to this one.
    let others = format!("{kubelet}/containerLogs/in-reach/shell/shell");
    let said = caller.kubectl(&["get", "--raw", &others]).await?;
    ensure!(said == "in reach\n", "{said}");
    let logs = format!("{kubelet}/containerLogs/{inside}/{pod}/tunnel-client");
    let said = set.admin(&["get", "--raw", &logs]).await?;
    ensure!(said.contains("linked"), "{said}");

    let of_node = |path: &str| format!("{kubelet}{path}");
    let own = format!("{inside}/{pod}");
    for path in [
        of_node(&format!("/containerLogs/{own}/tunnel-client")),
        of_node(&format!("//containerLogs//{own}/tunnel-client")),
        of_node(&format!("/exec/{own}/tunnel-client?command=id&output=1")),
        of_node(&format!("/attach/{own}/tunnel-client?output=1")),
        of_node(&format!("/portForward/{own}?port=8001")),
        of_node(&format!("/logs/pods/{inside}_{pod}_0/tunnel-client/0.log")),
        format!("/api/v1/nodes/{node}:10250/proxy/containerLogs/{own}/tunnel-client"),
        format!("/api/v1/nodes/https:{node}:10250/proxy/containerLogs/{own}/tunnel-client"),
        format!("/api/v1/namespaces/{inside}/pods/{pod}/exec?command=id&container=tunnel-client"),
        format!("/api/v1/namespaces/{inside}/pods/{pod}/log?container=tunnel-client"),
        format!("/api/v1/namespaces/{inside}/pods/{pod}:8001/proxy/api"),
        format!("/api/v1/namespaces/{inside}/pods/{pod}:8002/proxy/metrics"),
    ] {
        let said = caller.refused(&["get", "--raw", &path]).await?;
        ensure!(said.contains("--protect-namespaces"), "{path}: {said}");
    }
    let nothing = set.folder().join("nothing");
    std::fs::write(&nothing, "")?;
    let nothing = nothing.to_str().context("a file's name")?;
    for path in [
        format!("/run/{own}/tunnel-client?cmd=id"),
        format!("/exec/{own}/tunnel-client?command=id&output=1"),
        format!("/checkpoint/{own}/tunnel-client"),
    ] {
        let path = of_node(&path);
        let create = ["create", "--raw", &path, "--filename", nothing];
        let said = caller.refused(&create).await?;
        ensure!(said.contains("--protect-namespaces"), "{path}: {said}");
    }
    shell.remove(set).await
}
