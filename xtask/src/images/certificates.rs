//! Whom a program in an image trusts: the authorities in Mozilla's list.
//!
//! They come from a crate that `Cargo.lock` pins, and not from the machine that
//! builds, so that two machines build the same image.

use data_encoding::BASE64;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Where programs look first.
pub(crate) const PATH: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What makes a line of 64 characters, as RFC 7468 wants them.
const LINE: usize = 48;

/// All certificates.
pub(crate) fn pem() -> String {
    let mut pem = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in certificate.chunks(LINE) {
            BASE64.encode_append(line, &mut pem);
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn every_certificate_can_be_trusted() {
        let pem = pem();
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(Result::unwrap)
            .collect();
        assert_eq!(certificates, TLS_SERVER_ROOT_CERTS);
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).unwrap();
        }
        assert!(roots.len() > 100, "{}", roots.len());
    }
}
