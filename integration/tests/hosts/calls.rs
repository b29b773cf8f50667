//! Connections with a server name and a protocol of the test's choice, and
//! requests over HTTP/2.

use std::sync::Arc;

use anyhow::{Context, Result};
use http::{HeaderMap, Request};
use integration::chain::{Chain, SOON};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection that names `sni` in its hello; by an address, nothing.
pub(crate) async fn connect(
    chain: &Chain,
    sni: &str,
    protocol: &[u8],
) -> Result<TlsStream<TcpStream>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(chain.server_address).await?;
    let name = ServerName::try_from(sni.to_owned())?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    Ok(timeout(SOON, connecting).await.context("no TLS")??)
}

/// The head of an answer over HTTP/2, or why there was none. Without a URI's host
/// there is no `:authority`.
pub(crate) async fn answer_over_http2(
    chain: &Chain,
    request: Request<()>,
) -> Result<Result<(u16, HeaderMap), h2::Error>> {
    let stream = connect(chain, &chain.host(), b"h2").await?;
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    let exchange = async {
        let (response, _) = sender.send_request(request, true)?;
        let head = response.await?;
        Ok((head.status().as_u16(), head.headers().clone()))
    };
    let answer = async {
        tokio::select! {
            answer = exchange => answer,
            ended = connection => Err(ended.err().unwrap_or(h2::Reason::NO_ERROR.into())),
        }
    };
    timeout(SOON, answer).await.context("no answer")
}

/// Takes a certificate whomever it names: these tests are about names that it does
/// not.
#[derive(Debug)]
struct AnyName(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
