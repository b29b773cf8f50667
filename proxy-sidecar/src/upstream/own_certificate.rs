//! Trust in an API server whose certificate is its own CA, as `kube-apiserver` makes
//! one for itself. Go accepts it; webpki refuses any CA as a server's certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::parse_x509_certificate;

/// As webpki, but a certificate that is trusted byte for byte needs nobody's
/// signature. Its names, its dates and what it may be used for are looked at as ever,
/// and the handshake proves that the server has its key.
#[derive(Debug)]
pub(super) struct TrustsItself {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl TrustsItself {
    /// Trusts these and what they have signed.
    pub(super) fn new(trusted: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots.add(certificate.clone())?;
        }
        let webpki = WebPkiServerVerifier::builder(Arc::new(roots)).build();
        Ok(Self {
            webpki: webpki.map_err(|error| Error::General(error.to_string()))?,
            trusted,
        })
    }

    fn trusts(&self, certificate: &CertificateDer<'_>) -> bool {
        self.trusted
            .iter()
            .any(|trusted| trusted.as_ref() == certificate.as_ref())
    }
}

/// Dates and extended key usage, as Go looks at a root that is the server's own.
fn may_serve(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let (_, read) =
        parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = read.validity();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet);
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired);
    }
    match read.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth && !usage.value.any => {
            Err(CertificateError::InvalidPurpose)
        }
        Ok(_) => Ok(()),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}

impl ServerCertVerifier for TrustsItself {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.trusts(end_entity) {
            return self.webpki.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        may_serve(end_entity, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
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

    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    /// A CA for `kubernetes`, good in 2020.
    fn own_ca(edit: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut parameters = CertificateParams::new(["kubernetes".to_owned()]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2020, 12, 31);
        edit(&mut parameters);
        let pair = KeyPair::generate().unwrap();
        parameters.self_signed(&pair).unwrap().der().clone()
    }

    /// `day` is counted from the first of 2020.
    fn verify(
        verifier: &TrustsItself,
        certificate: &CertificateDer<'_>,
        name: &'static str,
        day: u64,
    ) -> Result<(), Error> {
        let now = Duration::from_secs(1_577_836_800 + day * 86_400);
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(now);
        verifier
            .verify_server_cert(certificate, &[], &name, &[], now)
            .map(drop)
    }

    fn trusting(certificate: &CertificateDer<'static>) -> TrustsItself {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        TrustsItself::new(vec![certificate.clone()]).unwrap()
    }

    #[test]
    fn it_is_good_in_its_time_for_its_name() {
        let own = own_ca(|_| {});
        let verifier = trusting(&own);
        assert_eq!(verify(&verifier, &own, "kubernetes", 100), Ok(()));
        for (name, day, fault) in [
            ("kubernetes", 400, CertificateError::Expired),
            ("kubernetes", 0, CertificateError::NotValidYet),
        ] {
            // The first day begins a second before.
            let error = match fault {
                CertificateError::NotValidYet => {
                    let later = own_ca(|own| own.not_before = rcgen::date_time_ymd(2020, 2, 1));
                    verify(&trusting(&later), &later, name, day)
                }
                _ => verify(&verifier, &own, name, day),
            };
            assert_eq!(error, Err(Error::InvalidCertificate(fault)));
        }
        let other = verify(&verifier, &own, "elsewhere", 100).unwrap_err();
        assert!(other.to_string().contains("elsewhere"), "{other}");
    }

    #[test]
    fn what_is_not_the_same_to_the_byte_is_nobody() {
        let (own, another) = (own_ca(|_| {}), own_ca(|_| {}));
        let error = verify(&trusting(&own), &another, "kubernetes", 100).unwrap_err();
        assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
    }

    #[test]
    fn a_clients_certificate_is_no_servers() {
        let own = own_ca(|own| own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let error = verify(&trusting(&own), &own, "kubernetes", 100).unwrap_err();
        let purpose = Error::InvalidCertificate(CertificateError::InvalidPurpose);
        assert_eq!(error, purpose);
    }
}
