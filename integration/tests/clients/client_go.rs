//! client-go by `rest.Config{Host: …}`, in a Go program of the tests' own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::go_clients;
use tokio::process::Command;

use crate::stage::{Stage, run};

async fn check(
    environment: Arc<Environment>,
    namespace: &'static str,
    check: &str,
    flags: &[&str],
) -> Result<()> {
    let obtain = || go_clients::obtain(&local_kubernetes::to_stderr);
    let program = tokio::task::spawn_blocking(obtain).await??;
    let stage = Stage::start(environment, namespace, flags).await?;
    // As people write it, without a scheme.
    let host = stage.sidecar.address()?.to_string();
    let mut command = Command::new(program);
    run(command.args([&host, namespace, check])).await?;
    stage.stop()
}

pub(crate) async fn go_objects(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-objects", "objects", &[]).await
}

pub(crate) async fn go_unknown_types(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-dynamic", "dynamic", &[]).await
}

pub(crate) async fn go_watch(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-watch", "watch", &[]).await
}

pub(crate) async fn go_informer(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-informer", "informer", &[]).await
}

pub(crate) async fn go_discovery(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-discovery", "discovery", &[]).await
}

pub(crate) async fn go_logs(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-logs", "logs", &[]).await
}

pub(crate) async fn go_exec_refused(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-exec-refused", "exec-refused", &[]).await
}

pub(crate) async fn go_exec_answered(environment: Arc<Environment>) -> Result<()> {
    let flags = ["--reject-paths="];
    check(environment, "go-exec-answered", "exec-answered", &flags).await
}

pub(crate) async fn go_port_forward(environment: Arc<Environment>) -> Result<()> {
    check(environment, "go-port-forward", "port-forward", &[]).await
}

/// Then Go's caches are shared with the build of Kubernetes itself.
pub(crate) async fn its_modules_are_kubernetes_own(_: Arc<Environment>) -> Result<()> {
    let ours = modules(&go_clients::sources().join("go.mod"))?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../local-kubernetes/go/kubernetes");
    let theirs = modules(&folder.join("go.mod"))?;
    ensure!(ours.contains_key("k8s.io/client-go"), "{ours:?}");
    for (module, version) in &ours {
        let wanted = theirs.get(module);
        ensure!(
            wanted == Some(version),
            "{module} {version}, not {wanted:?}"
        );
    }
    Ok(())
}

/// Each module with the version that is used: what replaces it comes later.
fn modules(go_mod: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(go_mod)
        .with_context(|| format!("cannot read {}", go_mod.display()))?;
    let lines = text.lines().filter_map(|line| {
        let line = line.split(" //").next()?.trim();
        let line = line
            .trim_start_matches("require ")
            .trim_start_matches("replace ");
        let (module, rest) = line.split_once(' ')?;
        let version = rest.rsplit(' ').next()?;
        version
            .starts_with('v')
            .then(|| (module.to_owned(), version.to_owned()))
    });
    Ok(lines.collect())
}
