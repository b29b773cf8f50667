//! Certificate authorities of the tests' own, and what they issue.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;

/// Issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// For whom, and when it is good.
pub(crate) struct Leaf<'a> {
    pub(crate) name: &'a str,
    /// Days from now.
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Self {
            name: "localhost",
            from: -1,
            to: 30,
        }
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        Ok(Self(CertifiedIssuer::self_signed(parameters, key)?))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// TLS with a certificate of its own.
    pub(crate) fn acceptor(&self, leaf: &Leaf<'_>, alpn: &[&[u8]]) -> Result<TlsAcceptor> {
        let mut parameters = CertificateParams::new(vec![leaf.name.to_owned()])?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = OffsetDateTime::now_utc();
        parameters.not_before = now + Duration::days(leaf.from);
        parameters.not_after = now + Duration::days(leaf.to);
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.0)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
