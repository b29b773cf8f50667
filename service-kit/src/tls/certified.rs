//! A certificate and its key, read from files.

use std::path::Path;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsError, content, provider};
use crate::secret_file;

/// What was read from a file.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// For errors.
    pub path: &'a Path,
    /// What stands there.
    pub content: &'a [u8],
}

impl std::fmt::Debug for Pem<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pem").field(&self.path).finish()
    }
}

/// A chain, the own certificate first, and the key of that. Warns of a key that others
/// may read.
///
/// # Errors
/// [`TlsError`]: not PEM, or the key is another certificate's.
pub fn certified(certificate: Pem<'_>, key: Pem<'_>) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate)?;
    secret_file::warn_if_open(key.path);
    let private = PrivateKeyDer::from_pem_slice(key.content)
        .map_err(|_| content(key.path, "holds no private key in PEM form"))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| {
        content(
            key.path,
            format!(
                "does not fit the certificate in {}: {error}",
                certificate.path.display()
            ),
        )
    })
}

/// One at least.
pub(super) fn certificates(pem: Pem<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem.content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(pem.path, error))?;
    match certificates.is_empty() {
        true => Err(content(pem.path, "holds no certificate in PEM form")),
        false => Ok(certificates),
    }
}
