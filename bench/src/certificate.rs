//! A certificate for the loopback address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, ServerConfig};
use service_kit::tls::{ReloadingCertificate, client_config, server_config};

/// Its files; clients trust it by itself.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    pub fn make(folder: &Path) -> Result<Self> {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        let (file, key) = (folder.join("origin.crt"), folder.join("origin.key"));
        std::fs::write(&file, cert.pem())?;
        std::fs::write(&key, signing_key.serialize_pem())?;
        Ok(Self { file, key })
    }

    pub fn server(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>> {
        let certificate = Arc::new(ReloadingCertificate::load(&self.file, &self.key)?);
        Ok(Arc::new(server_config(certificate, alpn)?))
    }

    pub fn client(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>> {
        Ok(Arc::new(client_config(Some(&self.file), alpn)?))
    }
}
