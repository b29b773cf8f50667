//! The certificate and its key while the server runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use integration::chain::{Chain, SOON};
use integration::environment::Environment;
use integration::wait::until;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Client;

use crate::start;
use crate::streams::Watch;

/// Another CA's certificate for the chain's names: CA, certificate, key.
fn another_certificate(chain: &Chain) -> Result<(String, String, String)> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![chain.host(), "localhost".into()])?;
    let leaf = leaf.signed_by(&key, &ca)?;
    Ok((ca.pem(), leaf.pem(), key.serialize_pem()))
}

fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(beside, path)?)
}

/// Waits until new connections get the certificate that `ca` signed.
async fn serves(chain: &Chain, ca: &str) -> Result<()> {
    let client = Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes())?])
        .resolve(&chain.host(), chain.server_address)
        .build()?;
    until("the new certificate", SOON, || async {
        let response = client.get(chain.url_by_host()).send().await;
        Ok(response.is_ok().then_some(()))
    })
    .await
}

pub(crate) async fn the_certificate_is_reloaded(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster, _) = start(&environment).await?;
    let mut watch = Watch::open(&chain.caller()?, &chain, &cluster).await?;
    let (ca, certificate, key) = another_certificate(&chain)?;
    let changed = Instant::now();
    replace(&chain.folder().join("dev/tls.key"), &key)?;
    replace(&chain.folder().join("dev/tls.crt"), &certificate)?;
    serves(&chain, &ca).await?;
    println!(
        "the new certificate was served after {:?}",
        changed.elapsed()
    );
    watch.must_be_alive().await?;
    // A damaged one changes nothing.
    replace(&chain.folder().join("dev/tls.crt"), "not PEM")?;
    chain
        .server
        .says("certificate refused, the last good one stays")
        .await?;
    serves(&chain, &ca).await?;
    watch.must_be_alive().await?;
    chain.stop().await
}

pub(crate) async fn a_key_after_its_certificate_is_taken(
    environment: Arc<Environment>,
) -> Result<()> {
    let (chain, _cluster, _) = start(&environment).await?;
    let (ca, certificate, key) = another_certificate(&chain)?;
    replace(&chain.folder().join("dev/tls.crt"), &certificate)?;
    chain
        .server
        .says("certificate refused, the last good one stays")
        .await?;
    replace(&chain.folder().join("dev/tls.key"), &key)?;
    serves(&chain, &ca).await?;
    chain.stop().await
}
