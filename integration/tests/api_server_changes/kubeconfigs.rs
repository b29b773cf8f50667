//! Kubeconfigs that say who one is by a certificate, and what they all are written by.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use data_encoding::BASE64;
use integration::environment::Environment;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::sidecar::Sidecar;
use local_kubernetes::ControlPlane;
use serde_json::{Value, json};

use crate::pod::switches;

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
