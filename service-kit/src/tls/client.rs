//! Whom a client trusts, and with which certificate it shows itself.

use std::path::Path;
use std::sync::Arc;

use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::certified::certificates;
use super::verifier::Verifier;
use super::{Pem, Pin, TlsError, content, provider, read};

/// A client's configuration: trusts the certificates in `ca_file`, or else the
/// system's.
///
/// # Errors
/// [`TlsError`], with the file's name.
pub fn client_config(ca_file: Option<&Path>, alpn: &[&[u8]]) -> Result<ClientConfig, TlsError> {
    let roots = match ca_file {
        Some(path) => {
            let content = &read(path)?;
            roots(Pem { path, content })?
        }
        None => system_roots()?,
    };
    client_config_with(roots, Vec::new(), None, alpn)
}

/// As [`client_config`], with these roots. With pins a key of the verified chain, the
/// server's own, an authority's or the root's, has to have one of them, beside all else
/// that is verified. What is not taken is told as a [`Distrust`](super::Distrust).
/// `identity` is shown to servers that ask for one.
///
/// # Errors
/// [`TlsError`].
pub fn client_config_with(
    roots: RootCertStore,
    pins: Vec<Pin>,
    identity: Option<CertifiedKey>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, TlsError> {
    let verifier = Arc::new(Verifier::new(roots, pins)?);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The certificate authorities of a file.
///
/// # Errors
/// [`TlsError`]: not PEM, or no certificate.
pub fn roots(pem: Pem<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| content(pem.path, error))?;
    }
    Ok(roots)
}

/// The system's certificate authorities.
///
/// # Errors
/// [`TlsError::NoRoots`].
pub fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        Err(TlsError::NoRoots)
    } else {
        Ok(roots)
    }
}
