//! For development: a private CA and a certificate for the base domain and its
//! subdomains, made once and kept in a folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::config::file::{CertificateFiles, Settings};

/// Why there is no development certificate.
#[derive(Debug, Error)]
pub enum DevCertificateError {
    /// A file cannot be written.
    #[error("cannot write {path}: {cause}", path = .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The names are not fit for a certificate.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes `ca.crt`, `tls.crt` and `tls.key` in the folder. They are kept when
/// they are there already and for the same domain, so that a CA that was trusted
/// once stays trusted.
pub(crate) fn ensure(
    folder: &Path,
    settings: &Settings,
) -> Result<CertificateFiles, DevCertificateError> {
    let files = CertificateFiles {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
    };
    let made_for = folder.join("made-for");
    let names = names(settings).join("\n");
    let kept = fs::read_to_string(&made_for).is_ok_and(|text| text == names);
    if kept && files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    fs::create_dir_all(folder).map_err(|cause| DevCertificateError::Write {
        path: folder.to_owned(),
        cause,
    })?;

    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name
        .push(DnType::CommonName, "Culvert development CA");
    // The CA's key is not written down: nobody can sign with it again.
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let mut leaf = CertificateParams::new(self::names(settings))?;
    leaf.distinguished_name
        .push(DnType::CommonName, settings.base_domain.clone());
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    // The longest that Apple's and other verifiers accept.
    leaf.not_after = OffsetDateTime::now_utc() + Duration::days(397);
    let key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&key, &ca)?;

    write(&folder.join("ca.crt"), &ca.pem(), 0o644)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.certificate, &leaf.pem(), 0o644)?;
    write(&made_for, &names, 0o644)?;
    Ok(files)
}

fn names(settings: &Settings) -> Vec<String> {
    let mut names = vec![
        settings.base_domain.clone(),
        format!("*.{}", settings.base_domain),
    ];
    names.extend(settings.extra_hosts.iter().cloned());
    names.extend([
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ]);
    names
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), DevCertificateError> {
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|cause| DevCertificateError::Write {
        path: path.to_owned(),
        cause,
    })
}
