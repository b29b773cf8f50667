//! The Helm chart in a real cluster: installed as its notes say, changed, and gone.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::release::Release;
use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::{Set, Stage};

pub(crate) async fn helm_installs_upgrades_and_uninstalls(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let release = Release::new(set, "chart").await?;
    installed_as_the_notes_say(&release).await?;
    let caller = release.caller(set)?;
    caller.kubectl(&["get", "pods", "--all-namespaces"]).await?;

    // Other rights, and one more pod: all pods are new ones, one after the other.
    release
        .upgrade(&["replicas=2", "role=edit", "allowExec=true"])
        .await?;
    calls_go_on(&release, set).await?;
    let may = caller
        .kubectl(&["auth", "can-i", "create", "pods/exec"])
        .await?;
    ensure!(may.trim() == "yes", "{may}");
    let pods = kinds(&release, set, "pods").await?;
    ensure!(pods.len() >= 2, "{pods:?}");

    release.uninstall(set).await?;
    what_is_left(&release, set).await?;
    set.admin(&["delete", "namespace", &release.namespace, "--wait=false"])
        .await
        .map(drop)
}

/// By the commands that helm prints.
async fn installed_as_the_notes_say(release: &Release) -> Result<()> {
    let notes = release.upgrade(&[]).await?;
    let commands: Vec<_> = notes
        .lines()
        .filter_map(|line| line.trim().strip_prefix("kubectl "))
        .map(|command| format!("kubectl {}", command.replace("=FILE", "=connector-token")))
        .collect();
    let (look, make) = commands.split_last().context("the notes show no command")?;
    ensure!(make.len() == 3, "{notes}");
    for command in make {
        release.desk.types(command).await?;
    }
    let started = Instant::now();
    release.ready().await?;
    println!("ready {:?} after its Secret", started.elapsed());
    let log = release.desk.types(look).await?;
    let url = format!("your url is: https://{}.{BASE_DOMAIN}:{PORT}", release.name);
    ensure!(log.contains(&url), "{look}: {log}");
    Ok(())
}

/// No call fails while the pods are replaced.
async fn calls_go_on(release: &Release, set: &Set) -> Result<()> {
    let caller = release.caller(set)?;
    let mut calls = 0;
    let mut rollout = std::pin::pin!(release.ready());
    loop {
        tokio::select! {
            done = &mut rollout => {
                println!("{calls} calls while the pods were replaced");
                return done;
            }
            called = caller.kubectl(&["get", "pods", "--all-namespaces"]) => {
                called.with_context(|| format!("call {calls} of the rollout"))?;
                calls += 1;
            }
        }
    }
}

/// `kind/name` in the release's namespace.
async fn kinds(release: &Release, set: &Set, kinds: &str) -> Result<Vec<String>> {
    let namespace = format!("--namespace={}", release.namespace);
    let names = set
        .admin(&["get", kinds, &namespace, "--output=name"])
        .await?;
    Ok(names.lines().map(str::to_owned).collect())
}

async fn what_is_left(release: &Release, set: &Set) -> Result<()> {
    let made = "deployments,replicasets,serviceaccounts,poddisruptionbudgets,\
                networkpolicies,secrets,configmaps,roles,rolebindings";
    let mut left = kinds(release, set, made).await?;
    // Each namespace has these of its own.
    left.retain(|name| name != "serviceaccount/default" && name != "configmap/kube-root-ca.crt");
    // The garbage collector comes for them.
    left.retain(|name| !name.starts_with("replicaset"));
    ensure!(
        left == ["secret/connector-token", "configmap/tunnel-server-ca"],
        "{left:?}"
    );
    let across = "clusterroles,clusterrolebindings,priorityclasses";
    let across = set.admin(&["get", across, "--output=name"]).await?;
    ensure!(!across.contains(&release.release()), "{across}");
    Ok(())
}
