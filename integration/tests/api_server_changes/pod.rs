//! proxy-sidecar as in a pod, with a service account's files that change.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::mounted::Mounted;
use integration::sidecar::Sidecar;
use integration::wait::until;
use local_kubernetes::{ControlPlane, Subject};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

pub(crate) const NAMESPACE: &str = "culvert";

pub(crate) struct Pod {
    pub(crate) sidecar: Sidecar,
    pub(crate) account: Mounted,
}

/// A token of a service account that may do everything.
pub(crate) async fn token(control_plane: &ControlPlane, account: &str) -> Result<String> {
    control_plane.create_namespace(NAMESPACE).await?;
    let token = control_plane
        .service_account_token(NAMESPACE, account)
        .await?;
    let subject = Subject::ServiceAccount {
        namespace: NAMESPACE,
        name: account,
    };
    control_plane
        .bind_cluster_role("cluster-admin", subject)
        .await?;
    Ok(token)
}

impl Pod {
    pub(crate) async fn start(control_plane: &ControlPlane, token: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("culvert-changes-")
            .tempdir()?;
        let files = [
            ("token", token),
            ("ca.crt", control_plane.ca_pem()),
            ("namespace", NAMESPACE),
        ];
        let account = Mounted::new(folder.path().join("account"), &files)?;
        let sidecar = Sidecar::start_in_pod(folder, "account", control_plane.url(), &[]).await?;
        Ok(Self { sidecar, account })
    }

    /// Waits for the status of an answer, and gives the first answer with it.
    pub(crate) async fn answers(&self, status: u16) -> Result<Value> {
        self.answers_within(status, SOON).await
    }

    pub(crate) async fn answers_within(&self, status: u16, within: Duration) -> Result<Value> {
        until(&format!("an answer of {status}"), within, || async {
            let (answered, answer) = self.sidecar.try_who().await?;
            Ok((answered == status).then_some(answer))
        })
        .await
    }

    /// Waits until the sidecar says that it is not ready for a reason that holds
    /// these words.
    pub(crate) async fn unready(&self, words: &[&str]) -> Result<()> {
        let readiness = until("an end of readiness", SOON, || async {
            let (status, text) = self.sidecar.readiness().await?;
            Ok((status != 200).then_some((status, text)))
        });
        let (status, text) = readiness.await?;
        ensure!(status == 503, "{status}: {text}");
        for word in words {
            ensure!(text.contains(word), "{word}: {text}");
        }
        Ok(())
    }

    pub(crate) async fn ready(&self) -> Result<()> {
        until("readiness", SOON, || async {
            let (status, _) = self.sidecar.readiness().await?;
            Ok((status == 200).then_some(()))
        })
        .await
    }

    /// A message was logged that many times.
    pub(crate) fn said(&self, message: &str, times: usize) -> Result<()> {
        let said = self.sidecar.said(message);
        ensure!(said == times, "{message:?} was said {said} times");
        Ok(())
    }
}

/// A watch by WebSocket is let in: upgrades have connections of their own.
pub(crate) async fn switches(sidecar: &Sidecar) -> Result<()> {
    let path = "/api/v1/namespaces?watch=true";
    let (head, _) = timeout(SOON, sidecar.web_socket(path)).await??;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    Ok(())
}

/// A request of the administrator's, straight to the API server.
pub(crate) async fn delete(control_plane: &ControlPlane, account: &str) -> Result<()> {
    let mut kubectl = Command::from(control_plane.kubectl_command());
    kubectl.args([
        "--namespace",
        NAMESPACE,
        "delete",
        "serviceaccount",
        account,
    ]);
    let output = timeout(SOON, kubectl.output()).await??;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}
