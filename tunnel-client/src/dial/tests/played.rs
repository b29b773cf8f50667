//! Servers and proxies that are played, with certificates made for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, SanType,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use service_kit::tasks::Tasks;
use service_kit::tls::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tunnel_protocol::carrier::Carrier;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::token::{Token, TokenKind};

use crate::dial::{Dial, Dialer, Duplex};
use crate::handshake::{HandshakeError, shake_hands};
use crate::steps::Steps;

/// What a server answers once it has a request.
const ANSWER: &[u8] = b"HTTP/1.1 418 I am played\r\nContent-Length: 0\r\n\r\n";
/// How [`first_word`] knows it.
pub(super) const FIRST_WORD: u16 = 418;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    pin: Pin,
}

/// A certificate and its key, for 127.0.0.1 and localhost.
pub(super) struct Own {
    certificate: rcgen::Certificate,
    pair: KeyPair,
}

pub(super) fn names(names: &[&str]) -> Vec<SanType> {
    let names = names.iter().map(|name| (*name).to_owned());
    let parameters = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
    parameters.subject_alt_names
}

fn parameters(edit: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = names(&["127.0.0.1", "localhost"]);
    edit(&mut parameters);
    parameters
}

pub(super) fn self_signed(edit: impl FnOnce(&mut CertificateParams)) -> Own {
    let pair = KeyPair::generate().unwrap();
    let certificate = parameters(edit).self_signed(&pair).unwrap();
    Own { certificate, pair }
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // In the place of rcgen's own.
        parameters.distinguished_name.push(DnType::CommonName, name);
        let pair = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&pair).unwrap();
        Self {
            pin: Pin::of(&pair.subject_public_key_info()),
            issuer: Issuer::new(parameters, pair),
            certificate,
        }
    }

    pub(super) fn issues(&self, edit: impl FnOnce(&mut CertificateParams)) -> Own {
        let pair = KeyPair::generate().unwrap();
        let certificate = parameters(edit).signed_by(&pair, &self.issuer).unwrap();
        Own { certificate, pair }
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn pin(&self) -> Pin {
        self.pin
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        Arc::new(roots)
    }
}

impl Own {
    pub(super) fn pin(&self) -> Pin {
        Pin::of(&self.pair.subject_public_key_info())
    }

    pub(super) fn chain_pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn key_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.pair.serialize_der());
        (vec![self.certificate.der().clone()], key.into())
    }
}

/// What a played peer does with a connection.
#[derive(Clone)]
pub(super) enum Serves {
    /// Says this to whatever comes, and ends.
    Bytes(&'static [u8]),
    /// TLS, and an answer to a request.
    Tls(Arc<ServerConfig>),
    /// TLS, and a connection on to there.
    Proxy(Arc<ServerConfig>, SocketAddr),
}

/// Who is asked for a client certificate, and may do without.
enum Asks<'a> {
    Nobody,
    Everybody(&'a Authority),
    WhoHasOne(&'a Authority),
}

fn config(own: &Own, asks: &Asks<'_>) -> ServerConfig {
    service_kit::tls::install_provider();
    let verifier = match asks {
        Asks::Nobody => WebPkiClientVerifier::no_client_auth(),
        Asks::Everybody(ca) => WebPkiClientVerifier::builder(ca.roots()).build().unwrap(),
        Asks::WhoHasOne(ca) => WebPkiClientVerifier::builder(ca.roots())
            .allow_unauthenticated()
            .build()
            .unwrap(),
    };
    let (chain, key) = own.der();
    ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}

impl Serves {
    pub(super) fn tls(own: &Own) -> Self {
        Self::tls_with(own, |_| {})
    }

    pub(super) fn tls_with(own: &Own, edit: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = config(own, &Asks::Nobody);
        edit(&mut config);
        Self::Tls(Arc::new(config))
    }

    /// For whoever has a certificate of this authority.
    pub(super) fn tls_for(own: &Own, clients: &Authority) -> Self {
        Self::Tls(Arc::new(config(own, &Asks::Everybody(clients))))
    }

    /// Would take a certificate of this authority, and leads to `server` whatever it is
    /// asked for.
    pub(super) fn proxy(own: &Own, clients: &Authority, server: SocketAddr) -> Self {
        let config = config(own, &Asks::WhoHasOne(clients));
        Self::Proxy(Arc::new(config), server)
    }
}

/// Runs until it is dropped.
pub(super) struct Played {
    pub(super) address: SocketAddr,
    client_certificates: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Played {
    pub(super) async fn start(serves: Serves) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let client_certificates = Arc::new(AtomicUsize::new(0));
        let tasks = Tasks::new();
        let spawner = tasks.spawner();
        let seen = client_certificates.clone();
        tasks.spawner().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serves, seen) = (serves.clone(), seen.clone());
                // One that fails is its client's to notice.
                spawner.spawn(async move { drop(serve(stream, serves, &seen).await) });
            }
        });
        Self {
            address,
            client_certificates,
            _tasks: tasks,
        }
    }

    /// How many clients have shown one.
    pub(super) fn client_certificates(&self) -> usize {
        self.client_certificates.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, serves: Serves, seen: &AtomicUsize) -> std::io::Result<()> {
    let (config, next) = match serves {
        Serves::Bytes(answer) => {
            // All that is said so far is read, so that the end is no reset.
            let _ = stream.read(&mut [0; 16 << 10]).await?;
            stream.write_all(answer).await?;
            return stream.shutdown().await;
        }
        Serves::Tls(config) => (config, None),
        Serves::Proxy(config, next) => (config, Some(next)),
    };
    let mut stream = TlsAcceptor::from(config).accept(stream).await?;
    if stream.get_ref().1.peer_certificates().is_some() {
        seen.fetch_add(1, Ordering::Relaxed);
    }
    read_head(&mut stream).await?;
    let Some(next) = next else {
        stream.write_all(ANSWER).await?;
        return stream.shutdown().await;
    };
    let mut next = TcpStream::connect(next).await?;
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut next).await?;
    Ok(())
}

async fn read_head(stream: &mut (impl Duplex + ?Sized)) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

/// Dials, and does as if the server were ours: the status of what it answers.
pub(super) async fn first_word(dialer: &Dialer) -> Result<u16, String> {
    let steps = Steps::default();
    let connection = dialer
        .dial(&steps)
        .await
        .map_err(|error| error.to_string())?;
    let token = Token::from_random(TokenKind::Connector, &[1; 32]);
    let hello = Hello {
        instance: "played".to_owned(),
        lane: 0,
        generation: 1,
        linked: Vec::new(),
        client_version: "0".to_owned(),
        subdomain: None,
        check: false,
    };
    let authority = dialer.server().authority();
    let shaken = shake_hands(
        connection,
        &authority,
        "/tunnel/v1",
        &token,
        &hello,
        Carrier::Upgrade,
        &steps,
    );
    match shaken.await {
        Ok(_) => Err("a link".to_owned()),
        Err(HandshakeError::Stranger(stranger)) => Ok(stranger.status.as_u16()),
        Err(error) => Err(error.to_string()),
    }
}
