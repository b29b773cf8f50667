//! Keys and certificates of one control plane; all keys are EC P-256.

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

/// A certificate with its key, both in PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What signs certificates.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, name);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        Ok(Self(CertifiedIssuer::self_signed(ca, key)?))
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server certificate of it.
    pub(crate) fn server(&self) -> Result<Identity> {
        let mut server = server()?;
        server.use_authority_key_identifier_extension = true;
        self.identity(&server)
    }

    /// A client certificate of it: Kubernetes reads the user and one group of theirs
    /// from its subject.
    pub(crate) fn client(&self, user: &str, group: &str) -> Result<Identity> {
        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, user);
        client
            .distinguished_name
            .push(DnType::OrganizationName, group);
        client.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.identity(&client)
    }

    fn identity(&self, certificate: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = certificate.clone().signed_by(&key, &self.0)?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A server certificate that is its own CA: Go takes it for both.
pub(crate) fn own_ca() -> Result<Identity> {
    let mut server = server()?;
    server.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    server.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let key = KeyPair::generate()?;
    Ok(Identity {
        certificate: server.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

fn server() -> Result<CertificateParams> {
    let mut server = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
    server
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(server)
}
