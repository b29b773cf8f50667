//! A server's certificate, replaced while it runs.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use super::{Pem, TlsError, certified, provider, read};

/// The certificate that new connections get.
#[derive(Debug)]
pub struct ReloadingCertificate {
    current: ArcSwap<CertifiedKey>,
}

impl ReloadingCertificate {
    /// Reads the certificate chain and its key, PEM.
    ///
    /// # Errors
    /// [`TlsError`]: unreadable, not PEM, or the key is another certificate's.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (chain, private) = (read(certificate)?, read(key)?);
        let pem = |path, content| Pem { path, content };
        let pair = certified(pem(certificate, &chain), pem(key, &private))?;
        Ok(Self {
            current: ArcSwap::from_pointee(pair),
        })
    }

    /// Takes other ones, which were read already; connections that are open keep
    /// theirs. Tells whether the certificate is another one.
    ///
    /// # Errors
    /// As [`Self::load`]; the last good certificate stays.
    pub fn replace(&self, certificate: Pem<'_>, key: Pem<'_>) -> Result<bool, TlsError> {
        let pair = Arc::new(certified(certificate, key)?);
        let before = self.current.swap(pair.clone());
        Ok(before.cert != pair.cert)
    }

    /// When it expires, in seconds since 1970; nothing if it does not say.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        let current = self.current.load();
        let (_, certificate) = parse_x509_certificate(current.cert.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }
}

impl ResolvesServerCert for ReloadingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// A listener's configuration; `alpn` in order of preference.
///
/// # Errors
/// When rustls refuses its own defaults.
pub fn server_config(
    certificate: Arc<ReloadingCertificate>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // Who comes back has its session with it: a fleet that lost its links costs no
    // signature each, and nothing is kept for those that stay away.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_when_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2033, 5, 18);
        std::fs::write(&chain, parameters.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let certificate = ReloadingCertificate::load(&chain, &key).unwrap();
        // date --utc --date=2033-05-18 +%s
        assert_eq!(certificate.expires(), Some(1_999_987_200));
    }
}
