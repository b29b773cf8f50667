//! Kubeconfigs that name a program to be asked who one is: when it is asked, and what
//! happens when it fails or hangs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use integration::binaries::culvert;
use integration::chain::SOON;
use integration::environment::Environment;
use integration::sidecar::Sidecar;
use integration::wait::until;
use local_kubernetes::process::{Process, Program, Spawner};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kubeconfigs::kubeconfig;
use crate::pod::{NAMESPACE, delete, switches, token};

const GIVES_NONE: &str = "the exec plugin gives no other credential";

/// A plugin that prints the file `credential` beside it, and counts how often it runs.
/// Where there is a file `hangs` it waits for a program instead, whose id it tells.
fn plugin(folder: &Path) -> Result<Value> {
    let script = folder.join("plugin");
    let lines = [
        &format!("cd '{}' && echo run >> runs || exit 1", folder.display()),
        "[ -e hangs ] || exec cat credential",
        "sleep 300 &",
        "echo $! > child.next && mv child.next child && wait",
    ];
    std::fs::write(&script, lines.join("\n"))?;
    Ok(json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": [script],
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

fn hang(folder: &Path) -> Result<()> {
    Ok(std::fs::write(folder.join("hangs"), "")?)
}

/// Waits until it hangs; gives what tells whether it still does.
async fn hangs(folder: &Path) -> Result<PathBuf> {
    let child = until("the plugin's own child", SOON, || async {
        Ok(std::fs::read_to_string(folder.join("child")).ok())
    });
    Ok(Path::new("/proc").join(child.await?.trim()).join("cmdline"))
}

/// What nobody has waited for yet has an id, but no command line any more.
async fn is_killed(process: &Path) -> Result<()> {
    until("the end of the plugin's own child", SOON, || async {
        let left = std::fs::read(process).unwrap_or_default();
        Ok(left.is_empty().then_some(()))
    })
    .await
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

/// The API server refuses the first certificate, and the plugin fails when it is asked
/// for another: the first one stays, instead of none, and it is asked again.
pub(crate) async fn an_exec_plugin_that_fails_once(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let folder = tempfile::tempdir()?;
    let nobodys = rcgen::generate_simple_self_signed(["joe".to_owned()])?;
    print(
        folder.path(),
        &json!({
            "clientCertificateData": nobodys.cert.pem(),
            "clientKeyData": nobodys.signing_key.serialize_pem(),
        }),
    )?;
    let flag = kubeconfig(control_plane, folder.path(), &plugin(folder.path())?)?;
    let sidecar = Sidecar::start(folder, &[&flag]).await?;
    let ran = runs(sidecar.folder())?;
    ensure!(ran == 1, "the plugin has run {ran} times");
    std::fs::remove_file(sidecar.folder().join("credential"))?;
    for _ in 0..3 {
        // Without a certificate the API server would know one who is anonymous.
        let (status, answer) = sidecar.try_who().await?;
        ensure!(status == 401, "{status}: {answer}");
        until("the plugin's failure", SOON, || async {
            Ok((sidecar.said(GIVES_NONE) == 1).then_some(()))
        })
        .await?;
    }
    let ran = runs(sidecar.folder())?;
    ensure!(ran == 2, "the plugin has run {ran} times");

    let identity = control_plane.client_certificate("joe", "system:masters")?;
    environment.secrets.add("a client's key", &identity.key);
    let status = json!({
        "clientCertificateData": identity.certificate, "clientKeyData": identity.key,
    });
    print(sidecar.folder(), &status)?;
    until("the good certificate", SOON, || async {
        Ok((sidecar.try_who().await?.0 == 201).then_some(()))
    })
    .await?;
    ensure!(sidecar.who().await? == "joe");
    let ran = runs(sidecar.folder())?;
    ensure!(ran == 3, "the plugin has run {ran} times");
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

/// It hangs when its token is refused: who asked has the answer at once, others are
/// served, and it ends with the sidecar.
pub(crate) async fn an_exec_plugin_that_hangs(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let folder = tempfile::tempdir()?;
    let good = token(control_plane, "caller").await?;
    print(folder.path(), &json!({ "token": "refused" }))?;
    let flag = kubeconfig(control_plane, folder.path(), &plugin(folder.path())?)?;
    let mut sidecar = Sidecar::start(folder, &[&flag]).await?;
    hang(sidecar.folder())?;
    let refused = timeout(SOON, sidecar.try_who()).await;
    let (status, answer) = refused.context("no answer while the plugin hangs")??;
    ensure!(status == 401, "{status}: {answer}");
    let process = hangs(sidecar.folder()).await?;
    let own = format!("Bearer {good}");
    for _ in 0..3 {
        let who = sidecar.who_with(&[("authorization", &own)]).await?;
        ensure!(who.ends_with(":caller"), "{who}");
        ensure!(sidecar.try_who().await?.0 == 401);
    }
    let ran = runs(sidecar.folder())?;
    ensure!(ran == 2, "the plugin has run {ran} times");
    // The first signal waits for an open connection.
    let caller = TcpStream::connect(sidecar.address()?).await?;
    sidecar.service.terminate()?;
    sidecar.service.says("draining").await?;
    sidecar.service.terminate()?;
    let code = sidecar.service.ended(SOON).await?;
    ensure!(code == Some(0), "{code:?}");
    drop(caller);
    is_killed(&process).await
}

/// Nobody can be served before it has answered: whoever ends the sidecar ends both.
pub(crate) async fn a_start_whose_exec_plugin_hangs(environment: Arc<Environment>) -> Result<()> {
    for end in [Process::terminate, Process::interrupt] {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let user = plugin(folder)?;
        let flag = kubeconfig(environment.kubernetes().await?, folder, &user)?;
        hang(folder)?;
        let spawner = Spawner::new()?;
        let mut sidecar = spawner.spawn(&Program {
            name: "proxy-sidecar",
            binary: &culvert("proxy-sidecar")?,
            arguments: &["--port=0".to_owned(), flag],
            folder,
        })?;
        let process = hangs(folder).await?;
        end(&sidecar)?;
        let status = until("the end of a start", SOON, || {
            let status = sidecar.try_wait();
            async move { Ok(status?) }
        });
        let status = status.await?;
        ensure!(status.success(), "{status}: {}", sidecar.log_tail());
        is_killed(&process).await?;
    }
    Ok(())
}
