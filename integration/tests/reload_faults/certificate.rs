//! Certificate and key change together, or not at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, SOON};
use integration::environment::Environment;
use integration::wait::until;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::alone::{Alone, replace};

/// A certificate that trusts itself, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let names = vec![BASE_DOMAIN.to_owned(), format!("*.{BASE_DOMAIN}")];
        let certificate = CertificateParams::new(names)?.self_signed(&key)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("tls.crt"), &self.certificate)?;
        Ok(fs::write(folder.join("tls.key"), &self.key)?)
    }

    /// Waits until the server shows it.
    async fn is_served(&self, alone: &Alone) -> Result<()> {
        let address = alone.service.address.context("no address")?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(self.certificate.as_bytes())?])
            .resolve(BASE_DOMAIN, address)
            .build()?;
        let url = format!("https://{BASE_DOMAIN}:{}/", address.port());
        until("the certificate is served", SOON, || async {
            let answer = client.get(&url).send().await;
            Ok(answer.is_ok().then_some(()))
        })
        .await
    }
}

const REFUSED: &str = "certificate refused";

async fn start(pair: &Pair) -> Result<Alone> {
    let files = json!({"certificate":
        {"certificateFile": "tls/tls.crt", "keyFile": "tls/tls.key"}});
    // As a Secret is mounted.
    let prepare = |folder: &Path| {
        let tls = folder.join("tls");
        fs::create_dir_all(tls.join("..1"))?;
        pair.write(&tls.join("..1"))?;
        symlink("..1", tls.join("..data"))?;
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), tls.join(file))?;
        }
        Ok(())
    };
    let alone = Alone::start_with(&[], &files, None, prepare).await?;
    pair.is_served(&alone).await?;
    Ok(alone)
}

pub(crate) async fn a_pair_changes_as_one(_: Arc<Environment>) -> Result<()> {
    let alone = start(&Pair::new()?).await?;
    for version in 2..8 {
        let pair = Pair::new()?;
        let tls = alone.at("tls");
        let folder = tls.join(format!("..{version}"));
        fs::create_dir(&folder)?;
        pair.write(&folder)?;
        symlink(format!("..{version}"), tls.join("..data_tmp"))?;
        fs::rename(tls.join("..data_tmp"), tls.join("..data"))?;
        pair.is_served(&alone).await?;
        // And in place, one after the other.
        let pair = Pair::new()?;
        pair.write(&tls)?;
        pair.is_served(&alone).await?;
    }
    ensure!(alone.said(REFUSED) == 0, "a pair was refused on its way");
    ensure!(alone.said("certificate taken over") == 12);
    Ok(())
}

pub(crate) async fn a_pair_that_does_not_match_is_told_once(_: Arc<Environment>) -> Result<()> {
    let (old, new) = (Pair::new()?, Pair::new()?);
    let alone = start(&old).await?;
    replace(&alone.at("tls/tls.crt"), &new.certificate)?;
    alone.says_once(REFUSED).await?;
    ensure!(alone.said("does not fit the certificate") == 1);
    ensure!(alone.metric("certificate_current").await? == 0.0);
    old.is_served(&alone).await?;
    replace(&alone.at("tls/tls.key"), &new.key)?;
    new.is_served(&alone).await?;
    alone.metric_becomes("certificate_current", 1.0).await?;
    // A key that is cut shows nothing of itself.
    replace(&alone.at("tls/tls.key"), &old.key[..old.key.len() / 2])?;
    alone.metric_becomes("certificate_current", 0.0).await?;
    let log = fs::read_to_string(alone.service.log())?;
    let line = old.key.lines().nth(1).context("no key")?;
    ensure!(!log.contains(line), "a key stands in the log");
    new.is_served(&alone).await
}
