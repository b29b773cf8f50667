//! Verifies a server's certificate as rustls does, and its chain's keys against pins; what
//! is not taken is told with whose certificate came.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error as ThisError;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::presented::day_of;
use super::{Pin, Presented, TlsError, provider};

/// As many certificates of a chain are kept to be shown.
const SHOWN: usize = 4;

/// Why a server's certificate was not taken.
#[derive(Clone, Debug, ThisError)]
#[error("{cause} ({})", told(.chain))]
pub struct Distrust {
    /// What is wrong with it.
    pub cause: DistrustCause,
    /// What came, the server's own first; those that can be read.
    pub chain: Vec<Presented>,
    /// The day that it is here, UTC, like `2020-01-31`.
    pub today: String,
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, ThisError)]
pub enum DistrustCause {
    /// rustls' word.
    #[error("{0}")]
    Invalid(CertificateError),
    /// It is an authority's own, as `openssl req -x509` makes them: webpki takes none for
    /// a server's.
    #[error("it is an authority's certificate, which is none for a server")]
    Authority,
    /// All is well, but no key of the verified chain is pinned.
    #[error("no key of its chain is pinned")]
    NotPinned,
}

fn told(chain: &[Presented]) -> String {
    chain.first().map_or_else(
        || "a certificate that cannot be read".to_owned(),
        ToString::to_string,
    )
}

/// Adds to what webpki asks for, and takes nothing away.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    /// None: any key will do.
    pins: Vec<Pin>,
}

impl Verifier {
    /// There is a root at least.
    pub(super) fn new(roots: RootCertStore, pins: Vec<Pin>) -> Result<Self, TlsError> {
        let roots = Arc::new(roots);
        let webpki = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider());
        let webpki = webpki.build().map_err(|_| TlsError::NoRoots)?;
        Ok(Self {
            webpki,
            roots,
            pins,
        })
    }

    /// Whether a chain that leads from the certificate to a root has a pinned key. The
    /// chain that came would not do: anybody can send a certificate along that is none
    /// of its own.
    fn is_pinned(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        if self.pins.is_empty() {
            return true;
        }
        let Ok(end_entity) = EndEntityCert::try_from(end_entity) else {
            return false;
        };
        let is_pinned = |path: &VerifiedPath<'_>| match self.has_pinned(path) {
            true => Ok(()),
            // Another path may have one.
            false => Err(webpki::Error::UnknownIssuer),
        };
        let verified = end_entity.verify_for_usage(
            provider().signature_verification_algorithms.all,
            &self.roots.roots,
            intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            Some(&is_pinned),
        );
        verified.is_ok()
    }

    fn has_pinned(&self, path: &VerifiedPath<'_>) -> bool {
        let own = Pin::of(&path.end_entity().subject_public_key_info());
        let between = path.intermediate_certificates();
        let between = between.map(|certificate| Pin::of(&certificate.subject_public_key_info()));
        let root = Pin::of_content(&path.anchor().subject_public_key_info);
        let mut keys = [own, root].into_iter().chain(between);
        keys.any(|key| self.pins.contains(&key))
    }
}

fn is_authority(cause: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(other)) = cause else {
        return false;
    };
    other.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

fn distrust(
    cause: DistrustCause,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Error {
    let chain = std::iter::once(end_entity).chain(intermediates);
    let distrust = Distrust {
        cause,
        chain: chain.take(SHOWN).filter_map(Presented::read).collect(),
        today: day_of(now.as_secs()),
    };
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust))))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let cause = match verified {
            Ok(verified) if self.is_pinned(end_entity, intermediates, now) => return Ok(verified),
            Ok(_) => DistrustCause::NotPinned,
            Err(Error::InvalidCertificate(cause)) if is_authority(&cause) => {
                DistrustCause::Authority
            }
            Err(Error::InvalidCertificate(cause)) => DistrustCause::Invalid(cause),
            Err(error) => return Err(error),
        };
        Err(distrust(cause, end_entity, intermediates, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    const NAME: &str = "a.example";

    /// A root, an authority below it, a server's certificate, and a stranger's root.
    struct Chain {
        root: CertificateDer<'static>,
        between: CertificateDer<'static>,
        own: CertificateDer<'static>,
        another: CertificateDer<'static>,
    }

    fn authority(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    }

    fn chain() -> Chain {
        let pair = || KeyPair::generate().unwrap();
        let (root_pair, between_pair) = (pair(), pair());
        let root = authority("root");
        let der = root.self_signed(&root_pair).unwrap().der().clone();
        let root = Issuer::new(root, root_pair);
        let between = authority("between");
        let between_der = between.signed_by(&between_pair, &root).unwrap();
        let between = Issuer::new(between, between_pair);
        let own = CertificateParams::new([NAME.to_owned()]).unwrap();
        Chain {
            root: der,
            between: between_der.der().clone(),
            own: own.signed_by(&pair(), &between).unwrap().der().clone(),
            another: authority("another")
                .self_signed(&pair())
                .unwrap()
                .der()
                .clone(),
        }
    }

    fn pin(certificate: &CertificateDer<'_>) -> Pin {
        Presented::read(certificate).unwrap().pin
    }

    /// What is wrong with the chain, as a server sends it with `extra`.
    fn verify(
        chain: &Chain,
        pins: &[Pin],
        extra: &[&CertificateDer<'static>],
        name: &'static str,
    ) -> Result<(), Distrust> {
        let mut roots = RootCertStore::empty();
        roots.add(chain.root.clone()).unwrap();
        let verifier = Verifier::new(roots, pins.to_vec()).unwrap();
        let mut sent = vec![chain.between.clone()];
        sent.extend(extra.iter().map(|certificate| (*certificate).clone()));
        let name = ServerName::try_from(name).unwrap();
        // date --utc --date=2025-01-01 +%s
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_735_689_600));
        let verified = verifier.verify_server_cert(&chain.own, &sent, &name, &[], now);
        verified.map(drop).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
                error.downcast_ref::<Distrust>().unwrap().clone()
            }
            other => panic!("{other}"),
        })
    }

    #[test]
    fn any_key_of_the_verified_chain_will_do() {
        let chain = chain();
        verify(&chain, &[], &[], NAME).unwrap();
        let nobodys = pin(&chain.another);
        for pinned in [&chain.own, &chain.between, &chain.root] {
            verify(&chain, &[pin(pinned)], &[], NAME).unwrap();
            verify(&chain, &[nobodys, pin(pinned)], &[], NAME).unwrap();
        }
    }

    #[test]
    fn one_that_is_only_sent_along_will_not() {
        let chain = chain();
        let nobodys = pin(&chain.another);
        let refused = verify(&chain, &[nobodys], &[&chain.another], NAME).unwrap_err();
        assert_eq!(refused.cause, DistrustCause::NotPinned);
        let pins: Vec<_> = refused.chain.iter().map(|shown| shown.pin).collect();
        let came = [&chain.own, &chain.between, &chain.another];
        assert_eq!(pins, came.map(pin));
    }

    #[test]
    fn a_pin_makes_up_for_nothing() {
        let chain = chain();
        let pins = [pin(&chain.own), pin(&chain.root)];
        let refused = verify(&chain, &pins, &[], "b.example").unwrap_err();
        let fault = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("b.example").unwrap(),
            presented: vec![format!("DnsName({NAME:?})")],
        };
        assert_eq!(refused.cause, DistrustCause::Invalid(fault));
        let strange = Chain {
            root: chain.another.clone(),
            ..chain
        };
        let refused = verify(&strange, &pins, &[], NAME).unwrap_err();
        let unknown = DistrustCause::Invalid(CertificateError::UnknownIssuer);
        assert_eq!(refused.cause, unknown);
        assert_eq!(refused.chain[0].names, [NAME]);
        assert_eq!(refused.chain[0].issuer, "CN=between");
        assert_eq!(refused.today, "2025-01-01");
        assert!(refused.to_string().contains("CN=between"), "{refused}");
    }
}
