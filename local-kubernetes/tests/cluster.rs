//! A real cluster that runs pods, as developers make and delete one.

use std::process::Command;

use anyhow::{Result, ensure};
use local_kubernetes::cluster::{Cluster, Engine, Status};
use local_kubernetes::to_stderr;

const NAME: &str = "culvert-up-and-down";

#[test]
fn up_twice_is_up_once_and_down_leaves_nothing() -> Result<()> {
    let engine_was_there = Engine::find()?.is_some();
    let before = network()?;

    let cluster = Cluster::up(NAME, &[], &to_stderr)?;
    ensure!(cluster.status() == Status::Ready);
    let node = node_id(&cluster)?;
    let again = Cluster::up(NAME, &[], &to_stderr)?;
    ensure!(node_id(&again)? == node, "the second up made another node");
    ensure!(Cluster::find(NAME, &to_stderr)?.is_some());

    let kubeconfig = cluster.kubeconfig().to_owned();
    Cluster::down(NAME, &to_stderr)?;
    ensure!(Cluster::find(NAME, &to_stderr)?.is_none());
    ensure!(!kubeconfig.exists(), "{}", kubeconfig.display());
    Cluster::down(NAME, &to_stderr)?;
    if !engine_was_there {
        ensure!(Engine::find()?.is_none(), "the engine still runs");
        let after = network()?;
        ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    }
    Ok(())
}

fn node_id(cluster: &Cluster) -> Result<String> {
    let node = cluster.node();
    let output = cluster
        .engine()
        .docker()
        .args(["inspect", "--format", "{{.Id}}", &node])
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// This machine's rules and interfaces, without counters.
fn network() -> Result<String> {
    let script = "iptables --list-rules; iptables --table nat --list-rules; \
         ls /sys/class/net; cat /proc/sys/net/ipv4/ip_forward";
    let output = Command::new("sh").args(["-c", script]).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}
