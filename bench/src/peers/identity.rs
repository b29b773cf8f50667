//! A certificate authority of a tunnel's own, and its server's certificate.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Nothing is kept secret by it: the files are a benchmark's own.
pub const PASSWORD: &str = "bench";

/// The files, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Identity {
    /// Good for `localhost` and these addresses.
    pub fn make(folder: &Path, addresses: &[Ipv4Addr]) -> Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "bench CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
        let names = addresses.iter().map(ToString::to_string);
        let names: Vec<_> = names.chain(["localhost".to_owned()]).collect();
        let mut server = CertificateParams::new(names)?;
        server
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &ca)?;
        let made = Self {
            ca: folder.join("ca.crt"),
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        std::fs::write(&made.ca, ca.pem())?;
        std::fs::write(&made.certificate, certificate.pem())?;
        std::fs::write(&made.key, key.serialize_pem())?;
        Ok(made)
    }

    /// As PKCS #12, with [`PASSWORD`], by the `openssl` command.
    pub fn pkcs12(&self) -> Result<PathBuf> {
        let path = self.key.with_extension("pfx");
        let output = Command::new("openssl")
            .args(["pkcs12", "-export", "-passout"])
            .arg(format!("pass:{PASSWORD}"))
            .arg("-in")
            .arg(&self.certificate)
            .arg("-inkey")
            .arg(&self.key)
            .arg("-out")
            .arg(&path)
            .output()
            .context("cannot run openssl: install the package openssl")?;
        ensure!(
            output.status.success(),
            "openssl pkcs12: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Ok(path)
    }
}
