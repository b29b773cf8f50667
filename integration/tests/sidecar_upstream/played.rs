//! API servers that are played, over TLS: what no real one is made to do.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::sidecar::Sidecar;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) struct Played {
    listener: TcpListener,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Played {
    pub(crate) async fn bind() -> Result<Self> {
        let key = KeyPair::generate()?;
        let parameters = CertificateParams::new(["127.0.0.1".to_owned()])?;
        Ok(Self {
            listener: TcpListener::bind("127.0.0.1:0").await?,
            certificate: parameters.self_signed(&key)?,
            key,
        })
    }

    /// A sidecar that calls it.
    pub(crate) async fn sidecar(&self) -> Result<Sidecar> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.crt"), self.certificate.pem())?;
        let server = format!("--server=https://{}", self.listener.local_addr()?);
        let flags = [&server, "--certificate-authority=ca.crt"];
        Sidecar::start(folder, &flags).await
    }

    /// The next connection, over the protocol that it is to speak.
    pub(crate) async fn accept(&self, protocol: &str) -> Result<TlsStream<TcpStream>> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der());
        let key = key.map_err(|error| anyhow::anyhow!(error))?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)?;
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let (stream, _) = self.listener.accept().await?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        acceptor.accept(stream).await.context("no TLS")
    }
}
