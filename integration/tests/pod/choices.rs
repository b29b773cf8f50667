//! What callers may do: the filter of the default, and each choice of rights as the
//! cluster really grants it.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::caller::{Caller, Streams};
use crate::connector::Connector;
use crate::release::Release;
use crate::stage::Stage;
use crate::workload::Workload;

pub(crate) async fn the_default_lets_callers_read(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "default", &[]).await?;
    let caller = connector.caller(set)?;
    let shell = Workload::idle(set, "read").await?;
    let pods = caller
        .kubectl(&["get", "pods", "--namespace=read", "--output=name"])
        .await?;
    ensure!(pods.trim() == "pod/shell", "{pods}");

    for streams in Streams::BOTH {
        for command in [
            ["exec", "--namespace=read", "shell", "--", "true"].as_slice(),
            &["attach", "--namespace=read", "shell"],
        ] {
            let said = caller.refused_over(streams, command).await?;
            ensure!(
                said.contains("--reject-paths"),
                "{command:?} over {streams:?}: {said}"
            );
        }
    }
    let inside = format!("--namespace={}", connector.namespace);
    let said = caller.refused(&["get", "pods", &inside]).await?;
    ensure!(said.contains("--protect-namespaces"), "{said}");

    may(&caller, "list pods --namespace=read").await?;
    may(&caller, "watch deployments.apps --all-namespaces").await?;
    may_not(&caller, "get secrets --namespace=read").await?;
    may_not(&caller, "create pods/exec --namespace=read").await?;
    may_not(&caller, "list nodes").await?;
    let said = caller
        .refused(&["delete", "pod/shell", "--namespace=read"])
        .await?;
    the_cluster_refused(&said)?;
    shell.remove(set).await?;
    connector.remove(set).await
}

pub(crate) async fn whatever_the_role_some_is_refused(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = set.connector().await?;
    let caller = connector.caller(set)?;
    let shell = Workload::idle(set, "mighty").await?;
    may(&caller, "create serviceaccounts/token --namespace=mighty").await?;
    let said = caller
        .refused(&["create", "token", "default", "--namespace=mighty"])
        .await?;
    ensure!(said.contains("--reject-token-requests"), "{said}");

    let inside = format!("--namespace={}", connector.namespace);
    let pod = connector.pod(set).await?;
    for command in [
        ["get", "secret/connector-token", &inside].as_slice(),
        &["exec", &pod, &inside, "--", "true"],
        &["port-forward", &pod, &inside, ":8001"],
        &["delete", "pod", &pod, &inside],
        &["run", "intruder", "--image=x", &inside],
        &["get", "secrets", "--all-namespaces"],
    ] {
        let said = caller.refused(command).await?;
        ensure!(said.contains("--protect-namespaces"), "{command:?}: {said}");
    }
    shell.remove(set).await
}

/// `edit` is more than it seems, and not more than the component says.
pub(crate) async fn edit_changes_and_reads_secrets(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "edit", &["role-edit"]).await?;
    let caller = connector.caller(set)?;
    let shell = Workload::idle(set, "edited").await?;
    may(&caller, "get secrets --namespace=edited").await?;
    may(&caller, "create pods/exec --namespace=edited").await?;
    may(&caller, "create serviceaccounts/token --namespace=edited").await?;
    may_not(&caller, "create rolebindings --namespace=edited").await?;
    may_not(&caller, "create namespaces").await?;
    caller
        .kubectl(&["label", "pod/shell", "--namespace=edited", "by=caller"])
        .await?;
    let exec = ["exec", "--namespace=edited", "shell", "--", "true"];
    let said = caller.refused(&exec).await?;
    ensure!(said.contains("--reject-paths"), "{said}");
    shell.remove(set).await?;
    connector.remove(set).await
}

pub(crate) async fn namespaced_ends_at_the_namespaces(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let named = Workload::idle(set, "team-named").await?;
    let other = Workload::idle(set, "team-other").await?;
    let release = Release::new(set, "namespaced").await?;
    release.install(&["namespaces={team-named}"]).await?;
    let caller = release.caller(set)?;
    let pods = caller
        .kubectl(&["get", "pods", "--namespace=team-named", "--output=name"])
        .await?;
    ensure!(pods.trim() == "pod/shell", "{pods}");
    for elsewhere in ["--namespace=team-other", "--all-namespaces"] {
        let said = caller.refused(&["get", "pods", elsewhere]).await?;
        the_cluster_refused(&said)?;
    }
    may_not(&caller, "get secrets --namespace=team-named").await?;
    release.remove(set).await?;
    named.remove(set).await?;
    other.remove(set).await
}

/// That the pods run shows that they pass; here, that something is enforced.
pub(crate) async fn pod_security_is_restricted(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = set.connector().await?;
    let namespace = format!("--namespace={}", connector.namespace);
    ensure!(!connector.pods(set).await?.is_empty());
    let run = ["run", "mighty", "--image=x", "--privileged", &namespace];
    let said = match set.admin(&run).await {
        Ok(said) => anyhow::bail!("a privileged pod is let in: {said}"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(said.contains("violates PodSecurity \"restricted"), "{said}");
    Ok(())
}

/// By the cluster's own word, asked through the tunnel.
async fn can_i(caller: &Caller, question: &str) -> Result<bool> {
    let words: Vec<_> = question.split(' ').collect();
    let arguments = [["auth", "can-i"].as_slice(), &words].concat();
    let output = caller.output(Streams::WebSocket, &arguments).await?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Ok(true),
        // With a reason behind it, sometimes.
        said if said.starts_with("no") => Ok(false),
        _ => anyhow::bail!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

async fn may(caller: &Caller, question: &str) -> Result<()> {
    ensure!(can_i(caller, question).await?, "may not {question}");
    Ok(())
}

async fn may_not(caller: &Caller, question: &str) -> Result<()> {
    ensure!(!can_i(caller, question).await?, "may {question}");
    Ok(())
}

/// Its RBAC, and not our filter.
fn the_cluster_refused(said: &str) -> Result<()> {
    ensure!(
        said.contains("(Forbidden)") && said.contains("User \"system:serviceaccount:"),
        "{said}"
    );
    Ok(())
}
