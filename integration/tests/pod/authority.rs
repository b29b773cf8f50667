//! A private certificate authority, as a user's who asks no public one.

use std::path::Path;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Writes `tls.crt` and `tls.key` for a domain and its wildcard into a folder, and
/// the authority's certificate into a file.
pub(crate) fn certify(domain: &str, folder: &Path, ca_file: &Path) -> Result<()> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name
        .push(DnType::CommonName, "a private CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new([domain.to_owned(), format!("*.{domain}")])?;
    let leaf = leaf.signed_by(&key, &ca)?;
    std::fs::write(folder.join("tls.crt"), leaf.pem())?;
    std::fs::write(folder.join("tls.key"), key.serialize_pem())?;
    Ok(std::fs::write(ca_file, ca.pem())?)
}
