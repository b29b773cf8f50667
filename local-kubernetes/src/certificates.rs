//! Keys and certificates of one control plane.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// The names under which the API server is reached: from this machine, and as
/// pods know it.
const SERVER_NAMES: [&str; 6] = [
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// All in PEM.
pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) server: String,
    pub(crate) server_key: String,
    /// Signs service-account tokens.
    pub(crate) service_account_key: String,
    /// Verifies service-account tokens.
    pub(crate) service_account_public_key: String,
}

impl Certificates {
    /// A new CA with a server certificate of it, and a key for tokens; all
    /// keys are EC P-256.
    ///
    /// The certificate that the API server would make for itself is its own
    /// CA, which rustls refuses.
    pub(crate) fn new() -> Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name
            .push(DnType::CommonName, "local-kubernetes-ca");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

        let mut server = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let server_key = KeyPair::generate()?;
        let server = server.signed_by(&server_key, &ca)?;

        let service_account_key = KeyPair::generate()?;
        Ok(Self {
            ca: ca.pem(),
            server: server.pem(),
            server_key: server_key.serialize_pem(),
            service_account_key: service_account_key.serialize_pem(),
            service_account_public_key: service_account_key.public_key_pem(),
        })
    }
}
