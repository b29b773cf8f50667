//! Kubeconfigs that say who one is by a certificate, or by a program that is asked.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use data_encoding::BASE64;
use futures_util::future::try_join_all;
use integration::chain::SOON;
use integration::environment::Environment;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::sidecar::Sidecar;
use integration::wait::until;
use local_kubernetes::ControlPlane;
use serde_json::{Value, json};

use crate::pod::{NAMESPACE, delete, switches, token};

/// Writes one with that user; gives the flag that names it.
pub(crate) fn kubeconfig(
    control_plane: &ControlPlane,
    folder: &Path,
    user: &Value,
) -> Result<String> {
    let ca_file = folder.join("ca.crt");
    std::fs::write(&ca_file, control_plane.ca_pem())?;
    let mut document = Kubeconfig {
        server: control_plane.url(),
        ca_file: &ca_file,
        credential: Credential::Token(""),
        proxy_url: None,
    }
    .document();
    document["users"][0]["user"] = user.clone();
    let path = folder.join("kubeconfig");
    std::fs::write(&path, document.to_string())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(format!("--kubeconfig={}", path.display()))
}

/// Ordinary requests and upgrades alike.
pub(crate) async fn client_certificates(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let folder = tempfile::tempdir()?;
    let identity = control_plane.client_certificate("jane", "system:masters")?;
    environment.secrets.add("a client's key", &identity.key);
    let user = json!({
        "client-certificate-data": BASE64.encode(identity.certificate.as_bytes()),
        "client-key-data": BASE64.encode(identity.key.as_bytes()),
    });
    let flag = kubeconfig(control_plane, folder.path(), &user)?;
    let sidecar = Sidecar::start(folder, &[&flag]).await?;
    ensure!(sidecar.who().await? == "jane");
    switches(&sidecar).await?;
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

/// A plugin that prints the file `credential` beside it, and counts how often it runs.
fn plugin(folder: &Path) -> Result<Value> {
    let script = folder.join("plugin");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\ncd '{}' && echo run >> runs && exec cat credential\n",
            folder.display()
        ),
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))?;
    Ok(json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": script,
        "interactiveMode": "Never",
    } }))
}

fn print(folder: &Path, status: &Value) -> Result<()> {
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": status,
    });
    // A plugin that runs meanwhile prints the one or the other.
    let next = folder.join("credential.next");
    std::fs::write(&next, credential.to_string())?;
    Ok(std::fs::rename(next, folder.join("credential"))?)
}

fn runs(folder: &Path) -> Result<usize> {
    Ok(std::fs::read_to_string(folder.join("runs"))?
        .lines()
        .count())
}

/// It is run once for many requests, and again when its token is refused.
pub(crate) async fn exec_plugins(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let folder = tempfile::tempdir()?;
    let old = token(control_plane, "plugin").await?;
    environment.secrets.add("a token", &old);
    print(folder.path(), &json!({ "token": old }))?;
    let flag = kubeconfig(control_plane, folder.path(), &plugin(folder.path())?)?;
    let sidecar = Sidecar::start(folder, &[&flag]).await?;
    for who in try_join_all((0..20).map(|_| sidecar.who())).await? {
        ensure!(who.ends_with(":plugin"), "{who}");
    }
    switches(&sidecar).await?;
    let ran = runs(sidecar.folder())?;
    ensure!(ran == 1, "the plugin has run {ran} times");

    delete(control_plane, "plugin").await?;
    let new = control_plane
        .service_account_token(NAMESPACE, "plugin")
        .await?;
    environment.secrets.add("a token", &new);
    print(sidecar.folder(), &json!({ "token": new }))?;
    // The API server remembers the old one for some time.
    until("a refusal", SOON * 2, || async {
        Ok((sidecar.try_who().await?.0 == 401).then_some(()))
    })
    .await?;
    until("the new token", SOON, || async {
        Ok((sidecar.try_who().await?.0 == 201).then_some(()))
    })
    .await?;
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

pub(crate) async fn exec_plugins_with_certificates(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let folder = tempfile::tempdir()?;
    let identity = control_plane.client_certificate("joe", "system:masters")?;
    environment.secrets.add("a client's key", &identity.key);
    let status = json!({
        "clientCertificateData": identity.certificate, "clientKeyData": identity.key,
    });
    print(folder.path(), &status)?;
    let flag = kubeconfig(control_plane, folder.path(), &plugin(folder.path())?)?;
    let sidecar = Sidecar::start(folder, &[&flag]).await?;
    ensure!(sidecar.who().await? == "joe");
    switches(&sidecar).await?;
    environment.secrets.must_not_be_in_file(&sidecar.log())
}
