//! Something to call: a pod with a shell, in a namespace of its own.

use anyhow::Result;

use crate::images::SHELL;
use crate::stage::{SOON, Set};

/// What each namespace of a workload has.
pub(crate) const LABEL: &str = "culvert.test/workload";

/// A namespace with a pod `shell` in it that runs a script; gone when the test
/// removes it.
pub(crate) struct Workload {
    pub(crate) namespace: String,
}

impl Workload {
    /// Starts `script` in the pod and waits until that is ready.
    pub(crate) async fn start(set: &Set, namespace: &str, script: &str) -> Result<Self> {
        Self::start_when(set, namespace, script, "{exec: {command: [\"true\"]}}").await
    }

    /// As [`Self::start`], and waits until it listens on `port`.
    pub(crate) async fn listening(
        set: &Set,
        namespace: &str,
        script: &str,
        port: u16,
    ) -> Result<Self> {
        let probe = format!("{{tcpSocket: {{port: {port}}}, periodSeconds: 1}}");
        Self::start_when(set, namespace, script, &probe).await
    }

    async fn start_when(set: &Set, namespace: &str, script: &str, probe: &str) -> Result<Self> {
        let script = serde_json::to_string(script)?;
        set.admin_apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: {{{LABEL}: ''}}}}}}\n\
             ---\n\
             apiVersion: v1\n\
             kind: ServiceAccount\n\
             metadata: {{name: default, namespace: {namespace}}}\n\
             ---\n\
             apiVersion: v1\n\
             kind: Pod\n\
             metadata: {{name: shell, namespace: {namespace}, labels: {{app: shell}}}}\n\
             spec:\n\
             \x20 terminationGracePeriodSeconds: 0\n\
             \x20 automountServiceAccountToken: false\n\
             \x20 containers:\n\
             \x20 - name: shell\n\
             \x20   image: {SHELL}\n\
             \x20   imagePullPolicy: Never\n\
             \x20   stdin: true\n\
             \x20   readinessProbe: {probe}\n\
             \x20   args: ['-c', {script}]\n"
        ))
        .await?;
        let timeout = format!("--timeout={}s", SOON.as_secs());
        set.admin(&[
            "wait",
            "--for=condition=Ready",
            "pod/shell",
            "--namespace",
            namespace,
            &timeout,
        ])
        .await?;
        Ok(Self {
            namespace: namespace.to_owned(),
        })
    }

    /// One that does nothing.
    pub(crate) async fn idle(set: &Set, namespace: &str) -> Result<Self> {
        Self::start(
            set,
            namespace,
            "trap exit TERM; while true; do sleep 3600 & wait; done",
        )
        .await
    }

    /// Lets an [`Echo`](crate::echo::Echo) until this `word` end.
    pub(crate) async fn say(&self, set: &Set, word: &str) -> Result<()> {
        let namespace = format!("--namespace={}", self.namespace);
        let file = format!("/tmp/{word}");
        set.admin(&["exec", &namespace, "shell", "--", "touch", &file])
            .await
            .map(drop)
    }

    pub(crate) async fn remove(self, set: &Set) -> Result<()> {
        set.admin(&["delete", "namespace", &self.namespace, "--wait=false"])
            .await
            .map(drop)
    }
}
