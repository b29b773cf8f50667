//! Whom tunnel-client trusts, and how it shows itself: to the server, and to a proxy
//! that is reached over TLS.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use service_kit::file_watch::{MadeOfFiles, Reading};
use service_kit::tls::{Pem, Pin, TlsError, certified, client_config_with, roots, system_roots};
use thiserror::Error;

/// The handshake is an HTTP/1.1 upgrade, as CONNECT is HTTP/1.1; HTTP/2 starts after it.
const ALPN: &[&[u8]] = &[b"http/1.1"];

/// What is told of trust on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustSources {
    pub(crate) ca_file: Option<PathBuf>,
    /// Nothing: as for the server.
    pub(crate) proxy_ca_file: Option<PathBuf>,
    pub(crate) identity: Option<IdentityFiles>,
    pub(crate) pins: Vec<Pin>,
}

/// A client certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct IdentityFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A file that cannot be used. Never holds what is in it.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The server's certificate authorities.
    #[error("--ca-file: {0}")]
    Ca(TlsError),
    /// The proxy's.
    #[error("--proxy-ca-file: {0}")]
    ProxyCa(TlsError),
    /// Ours.
    #[error("--client-certificate and --client-key: {0}")]
    Identity(TlsError),
    /// The system has no authorities, or rustls refuses its own defaults.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Follows the files.
#[derive(Debug)]
pub(crate) struct Trust {
    server: Followed,
    proxy: Followed,
}

type Followed = MadeOfFiles<ClientConfig, TrustError>;

impl Trust {
    /// Reads all files.
    pub(crate) fn new(sources: &TrustSources) -> Result<Self, TrustError> {
        Ok(Self {
            server: server(sources)?,
            proxy: proxy(sources)?,
        })
    }

    /// For TLS with the server, as the files are now; the last good where they say
    /// nothing that can be used.
    pub(crate) fn server(&self) -> Arc<ClientConfig> {
        self.server.look()
    }

    /// For TLS with a proxy, which gets to see no certificate of ours.
    pub(crate) fn proxy(&self) -> Arc<ClientConfig> {
        self.proxy.look()
    }
}

fn server(sources: &TrustSources) -> Result<Followed, TrustError> {
    let TrustSources {
        ca_file,
        identity,
        pins,
        ..
    } = sources.clone();
    let own = identity.iter();
    let own = own.flat_map(|files| [&files.certificate, &files.key]);
    let files: Vec<_> = ca_file.iter().chain(own).cloned().collect();
    let paths = files.clone();
    MadeOfFiles::new("certificates for the server", files, move |readings| {
        let mut files = paths.iter().zip(readings);
        let authorities = match &ca_file {
            Some(_) => authorities(files.next()).map_err(TrustError::Ca)?,
            None => system_roots()?,
        };
        let own = own_identity(files.next(), files.next()).map_err(TrustError::Identity)?;
        Ok(client_config_with(authorities, pins.clone(), own, ALPN)?)
    })
}

fn proxy(sources: &TrustSources) -> Result<Followed, TrustError> {
    let own = sources.proxy_ca_file.clone();
    let fault: fn(TlsError) -> TrustError = match own {
        Some(_) => TrustError::ProxyCa,
        None => TrustError::Ca,
    };
    let file = own.or_else(|| sources.ca_file.clone());
    let files: Vec<_> = file.iter().cloned().collect();
    MadeOfFiles::new("certificates for the proxy", files, move |readings| {
        let authorities = match &file {
            Some(path) => authorities(Some(path).zip(readings.first())).map_err(fault)?,
            None => system_roots()?,
        };
        Ok(client_config_with(authorities, Vec::new(), None, ALPN)?)
    })
}

/// A file, and what was read of it.
type Read<'a> = Option<(&'a PathBuf, &'a Reading)>;

fn authorities(file: Read<'_>) -> Result<RootCertStore, TlsError> {
    file.map_or(Err(TlsError::NoRoots), |file| roots(pem(file)?))
}

fn own_identity(certificate: Read<'_>, key: Read<'_>) -> Result<Option<CertifiedKey>, TlsError> {
    let pair = certificate.zip(key);
    pair.map(|(certificate, key)| certified(pem(certificate)?, pem(key)?))
        .transpose()
}

fn pem<'a>((path, reading): (&'a PathBuf, &'a Reading)) -> Result<Pem<'a>, TlsError> {
    let content = reading.as_ref().map_err(Clone::clone)?;
    Ok(Pem { path, content })
}
