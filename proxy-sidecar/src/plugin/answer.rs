//! What a plugin prints: a token, a certificate, or both.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use k8s_openapi::jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::PluginError;

/// Before its end another one is asked for, as client-go and kube-client do in theirs.
const BEFORE_THE_END: Duration = Duration::from_secs(60);

/// A credential.
pub(crate) struct Answer {
    /// `Authorization`.
    pub(crate) header: Option<HeaderValue>,
    /// For TLS. The same one as long as the certificate is the same.
    pub(crate) identity: Option<Arc<CertifiedKey>>,
    ends: Option<SystemTime>,
}

/// How a credential stands to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Good,
    RunsOut,
    RanOut,
}

#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<Zeroizing<String>>,
    client_certificate_data: Option<String>,
    client_key_data: Option<Zeroizing<String>>,
}

impl Answer {
    /// Reads JSON, or YAML, which client-go takes, too.
    pub(super) fn read(printed: &[u8]) -> Result<Self, PluginError> {
        let credential: ExecCredential =
            serde_saphyr::from_slice(printed).map_err(|_| PluginError::NoExecCredential)?;
        let status = credential.status.ok_or(PluginError::NoExecCredential)?;
        let token = status.token.filter(|token| !token.is_empty());
        let header = token.map(|token| bearer(&token)).transpose()?;
        let identity = match (&status.client_certificate_data, &status.client_key_data) {
            (Some(certificate), Some(key)) => Some(Arc::new(identity(certificate, key)?)),
            (None, None) if header.is_some() => None,
            _ => return Err(PluginError::Empty),
        };
        Ok(Self {
            header,
            identity,
            ends: status.expiration_timestamp.map(SystemTime::from),
        })
    }

    /// With the identity of the one before where that is the same: connections stay.
    pub(super) fn after(mut self, before: &Self) -> Self {
        if let (Some(new), Some(old)) = (&self.identity, &before.identity)
            && new.cert == old.cert
        {
            self.identity = Some(old.clone());
        }
        self
    }

    pub(super) fn age(&self, now: SystemTime) -> Age {
        match self.ends {
            Some(ends) if now >= ends => Age::RanOut,
            Some(ends) if now + BEFORE_THE_END >= ends => Age::RunsOut,
            _ => Age::Good,
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, PluginError> {
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut header = HeaderValue::from_str(&text).map_err(|_| PluginError::Token)?;
    header.set_sensitive(true);
    Ok(header)
}

/// The PEM reader's own words show lines of what it read.
fn identity(certificate: &str, key: &str) -> Result<CertifiedKey, PluginError> {
    let faulty = |fault: &str| PluginError::Certificate(fault.to_owned());
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| faulty("it is not in PEM form"))?;
    if chain.is_empty() {
        return Err(faulty("there is none in PEM form"));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| faulty("its key is not in PEM form"))?;
    let provider = CryptoProvider::get_default().ok_or_else(|| faulty("there is no TLS"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| faulty(&error.to_string()))
}
