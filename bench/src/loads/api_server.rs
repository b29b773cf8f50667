//! Ours before a real API server. It is the slowest part by far, so that this says what a
//! user sees, and nothing of the tunnel.

use anyhow::{Context, Result, ensure};
use local_kubernetes::{Binaries, ControlPlane, Options, to_stderr};

use super::chains::sidecar;
use super::{Case, Stage, latency, requests};
use crate::generator::Entry;
use crate::generator::entry::Tls;
use crate::proxies::Proxy;
use crate::results::Report;

const LATENCY: [(usize, f64); 1] = [(8, 100.0)];

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let options = Options {
        audit: false,
        ..Options::default()
    };
    let kubernetes = ControlPlane::start(&Binaries::obtain(&to_stderr)?, options).await?;
    // As large as the origin's small answer.
    let value = format!("--from-literal=value={}", "x".repeat(512));
    let created = kubernetes
        .kubectl_command()
        .args(["create", "configmap", "small", &value])
        .output()?;
    ensure!(
        created.status.success(),
        "{}",
        String::from_utf8_lossy(&created.stderr)
    );
    let folder = tempfile::tempdir()?;
    let ca_file = folder.path().join("ca.crt");
    std::fs::write(&ca_file, kubernetes.ca_pem())?;
    let address = kubernetes
        .url()
        .strip_prefix("https://")
        .context("no https")?;
    let token = kubernetes.admin_token();
    let direct = Entry {
        tls: Some(Tls::new(&ca_file, "localhost")?),
        ..Entry::plain(address.parse()?)
    }
    .with_header("Authorization", &format!("Bearer {token}"));
    let mut cases = vec![Case::direct(direct)];
    let ready = stage
        .ready
        .iter()
        .find(|ready| ready.peer.about().name == "culvert");
    if let Some(ready) = ready {
        let kind = sidecar()?;
        let server = kubernetes.url();
        let proxy = Proxy::start_as(stage.spawner, &kind, server, &ca_file, token).await?;
        let case = stage.case(ready, proxy.address, None).await;
        cases.push(case.before(proxy, &kind.name));
    }
    requests::tables(stage, report, "A real API server: requests", &cases).await;
    latency::tables(
        stage,
        report,
        "A real API server: latency",
        &LATENCY,
        &cases,
    )
    .await;
    drop(cases);
    kubernetes.stop().await
}
