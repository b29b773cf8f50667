//! What people do with workloads: roll out, debug, drain.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::images::SHELL;
use crate::stage::{SOON, Stage};
use crate::terminal::Terminal;
use crate::workload::Workload;

pub(crate) async fn rollout_restart_is_followed_to_its_end(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    caller.kubectl(&["create", "namespace", "rollout"]).await?;
    let namespace = "--namespace=rollout";
    let image = format!("--image={SHELL}");
    let idle = ["--", "/bin/sh", "-c", "trap exit TERM; sleep 3600 & wait"];
    let create = [
        "create",
        "deployment",
        "app",
        "--replicas=2",
        namespace,
        &image,
    ];
    caller.kubectl(&[create.as_slice(), &idle].concat()).await?;
    let timeout = format!("--timeout={}s", SOON.as_secs());
    let status = ["rollout", "status", "deployment/app", namespace, &timeout];
    caller.kubectl(&status).await?;
    caller
        .kubectl(&["rollout", "restart", "deployment/app", namespace])
        .await?;
    let said = caller.kubectl(&status).await?;
    ensure!(said.contains("successfully rolled out"), "{said}");
    let history = caller
        .kubectl(&["rollout", "history", "deployment/app", namespace])
        .await?;
    ensure!(
        history.lines().any(|line| line.starts_with('2')),
        "{history}"
    );
    caller
        .kubectl(&["delete", "namespace", "rollout", "--wait=false"])
        .await?;
    Ok(())
}

pub(crate) async fn debug_adds_a_container_and_attaches(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::idle(set, "debugged").await?;
    let image = format!("--image={SHELL}");
    let arguments = ["debug", "--namespace=debugged", "pod/shell", &image];
    let flags = [
        "--image-pull-policy=Never",
        "--target=shell",
        "-it",
        "--",
        "sh",
    ];
    let command = caller.command(&[arguments.as_slice(), &flags].concat());
    let mut terminal = Terminal::start(command, (24, 80))?;
    // It shares the other container's processes: their first one is not its own.
    terminal
        .type_line("tr '\\0' ' ' < /proc/1/cmdline; echo re''ad")
        .await?;
    terminal.shows("trap exit TERM").await?;
    terminal.shows("read").await?;
    terminal.type_line("exit").await?;
    terminal.ended().await?;
    shell.remove(set).await
}

pub(crate) async fn drain_tells_what_it_would_do(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::idle(set, "drained").await?;
    let node = set.cluster.node();
    let flags = [
        "--dry-run=server",
        "--ignore-daemonsets",
        "--force",
        "--delete-emptydir-data",
    ];
    let arguments = ["drain", &node, "--pod-selector=app=shell"];
    let said = caller
        .kubectl(&[arguments.as_slice(), &flags].concat())
        .await?;
    ensure!(said.contains("drained/shell"), "{said}");
    ensure!(said.contains("drained (server dry run)"), "{said}");
    let phase = "--output=jsonpath={.status.phase}";
    let phase = caller
        .kubectl(&["get", "pod/shell", "--namespace=drained", phase])
        .await?;
    ensure!(phase == "Running", "{phase}");
    shell.remove(set).await
}
