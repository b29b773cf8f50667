//! TLS: rustls with aws-lc-rs, 1.3 and 1.2.

mod certified;
mod client;
mod pin;
mod presented;
mod server;
mod verifier;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use thiserror::Error;

use crate::file_watch::{self, Content, FileFault};

pub use certified::{Pem, certified};
pub use client::{client_config, client_config_with, roots, system_roots};
pub use pin::{Pin, PinError};
pub use presented::Presented;
pub use server::{ReloadingCertificate, server_config};
pub use verifier::{Distrust, DistrustCause};

/// Why TLS cannot be set up. Never holds what is in a file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {0}")]
    Read(#[from] FileFault),
    /// The file is not what it should be.
    #[error("{path}: {fault}", path = .path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The system has no certificate authorities.
    #[error(
        "the system has no certificate authorities: install ca-certificates, or name a file with --ca-file"
    )]
    NoRoots,
    /// rustls refuses the combination.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes aws-lc-rs what libraries use when they are not told. To be called once
/// by each `main`.
pub fn install_provider() {
    // An error says that one is installed already.
    drop(aws_lc_rs::default_provider().install_default());
}

pub(crate) fn read(path: &Path) -> Result<Content, TlsError> {
    Ok(file_watch::read(path)?)
}

pub(crate) fn content(path: &Path, fault: impl ToString) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        fault: fault.to_string(),
    }
}
