//! Certificates that change, and such as need no CA beside them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::mounted::Mounted;
use integration::sidecar::Sidecar;
use integration::wait::until;
use local_kubernetes::{Identity, Options, ServingCertificate};
use serde_json::json;

use crate::kubeconfigs::kubeconfig;
use crate::pod::{Pod, switches, token};
use crate::restarts::control_plane;

const CHANGED: &str = "certificates for the API server changed";

/// The API server comes back with a certificate of another CA, and the kubelet
/// brings that one later: until then nothing is sent to it, least of all a token.
pub(crate) async fn a_new_ca(_: Arc<Environment>) -> Result<()> {
    let mut control_plane = control_plane(Options::default()).await?;
    let mut pod = Pod::start(&control_plane, &token(&control_plane, "pod").await?).await?;
    pod.ready().await?;
    control_plane.restart_with_new_ca().await?;
    let told = pod.answers(502).await?;
    let message = told["message"].as_str().unwrap_or_default();
    ensure!(message.contains("certificate"), "{told}");
    pod.unready(&["certificate"]).await?;
    pod.account.change(&[("ca.crt", control_plane.ca_pem())])?;
    pod.answers(201).await?;
    pod.ready().await?;
    switches(&pod.sidecar).await?;
    pod.said(CHANGED, 1)?;
    control_plane.stop().await
}

/// In files of a kubeconfig: connections with the old one do not stay.
pub(crate) async fn new_client_certificates(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let folder = tempfile::tempdir()?;
    let first = control_plane.client_certificate("first", "people")?;
    let second = control_plane.client_certificate("second", "people")?;
    let mut mounted = Mounted::new(folder.path().join("client"), &files(&first))?;
    let user = json!({
        "client-certificate": mounted.path("tls.crt"), "client-key": mounted.path("tls.key"),
    });
    let flag = kubeconfig(control_plane, folder.path(), &user)?;
    let sidecar = Sidecar::start(folder, &[&flag]).await?;
    ensure!(sidecar.who().await? == "first");
    mounted.change(&files(&second))?;
    until("the second certificate", SOON, || async {
        Ok((sidecar.who().await? == "second").then_some(()))
    })
    .await?;
    let told = sidecar.said(CHANGED);
    ensure!(told == 1, "the log tells {told} times of it");
    Ok(())
}

fn files(of: &Identity) -> [(&str, &str); 2] {
    [("tls.crt", &of.certificate), ("tls.key", &of.key)]
}

pub(crate) async fn a_self_made_certificate(_: Arc<Environment>) -> Result<()> {
    served(ServingCertificate::SelfMade).await
}

pub(crate) async fn a_certificate_that_is_its_own_ca(_: Arc<Environment>) -> Result<()> {
    served(ServingCertificate::OwnCa).await
}

async fn served(certificate: ServingCertificate) -> Result<()> {
    let options = Options {
        serving_certificate: certificate,
        ..Options::default()
    };
    let control_plane = control_plane(options).await?;
    let pod = Pod::start(&control_plane, &token(&control_plane, "pod").await?).await?;
    ensure!(pod.sidecar.who().await?.ends_with(":pod"));
    switches(&pod.sidecar).await?;
    control_plane.stop().await
}
