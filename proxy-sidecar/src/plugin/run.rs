//! The plugin as a process: what it is told, how long it may take, how it is ended.

use std::io::{IsTerminal, stdin};
use std::process::Stdio;
use std::time::Duration;

use kube::config::{ExecConfig, ExecInteractiveMode};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::PluginError;

const DEADLINE: Duration = Duration::from_secs(60);
/// Where there is a person to log in.
const PERSONS_DEADLINE: Duration = Duration::from_secs(300);
/// Bytes. Chains of certificates are a few kilobytes.
const LONGEST: u64 = 1024 * 1024;

/// Gives what it printed. Killed with what it has started when it takes too long, or
/// when this is dropped.
pub(super) async fn run(exec: &ExecConfig) -> Result<Zeroizing<Vec<u8>>, PluginError> {
    let never = exec.interactive_mode == Some(ExecInteractiveMode::Never);
    let asks_a_person = !never && stdin().is_terminal();
    let mut command = command(exec, asks_a_person)?;
    command.stdout(Stdio::piped()).kill_on_drop(true);
    if never {
        command.stderr(Stdio::null());
    }
    if !asks_a_person {
        // A group of its own could not read from the terminal.
        command.stdin(Stdio::null()).process_group(0);
    }
    let mut child = command.spawn().map_err(PluginError::Start)?;
    let group = child.id().filter(|_| !asks_a_person);
    let mut group = Group(group.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let deadline = match asks_a_person {
        true => PERSONS_DEADLINE,
        false => DEADLINE,
    };
    let heard = timeout(deadline, hear(&mut child)).await;
    let printed = heard.map_err(|_| PluginError::Late(deadline))??;
    // It has ended by itself, and what it left behind may be meant to stay.
    group.0 = None;
    Ok(printed)
}

/// The process id is its own as long as nobody has waited for it: that comes last.
async fn hear(child: &mut Child) -> Result<Zeroizing<Vec<u8>>, PluginError> {
    let mut printed = Zeroizing::new(Vec::new());
    if let Some(stdout) = &mut child.stdout {
        let mut stdout = stdout.take(LONGEST + 1);
        let read = stdout.read_to_end(&mut printed).await;
        read.map_err(PluginError::Read)?;
    }
    if printed.len() as u64 > LONGEST {
        return Err(PluginError::TooLong(LONGEST));
    }
    let status = child.wait().await.map_err(PluginError::Read)?;
    match status.success() {
        true => Ok(printed),
        false => Err(PluginError::Failed(status)),
    }
}

/// Wrappers start another program, which is to end, too.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may be gone.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

fn command(exec: &ExecConfig, asks_a_person: bool) -> Result<Command, PluginError> {
    let mut command = Command::new(exec.command.as_ref().ok_or(PluginError::NoCommand)?);
    command.args(exec.args.iter().flatten());
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let mut spec = json!({ "interactive": asks_a_person });
    if exec.provide_cluster_info {
        let cluster = exec.cluster.as_ref().ok_or(PluginError::NoCluster)?;
        spec["cluster"] = serde_json::to_value(cluster).map_err(|_| PluginError::NoCluster)?;
    }
    let told = json!({
        "apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec,
    });
    command.env("KUBERNETES_EXEC_INFO", told.to_string());
    for name in exec.drop_env.iter().flatten() {
        command.env_remove(name);
    }
    Ok(command)
}
