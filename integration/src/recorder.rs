//! Stands between the sidecar and the API server, passes every byte on as it
//! is, and remembers what both said.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::chain::ApiServer;
use crate::http1::{self, Request, Response};

/// The only protocol of the sidecar's, and the one that is readable in bytes.
const ALPN: &[u8] = b"http/1.1";

/// Runs until it is dropped.
pub struct Recorder {
    url: String,
    ca_pem: String,
    recordings: Arc<Recordings>,
    _stop: DropGuard,
}

type Recordings = Mutex<Vec<Recording>>;

/// What was said on one connection so far.
#[derive(Default)]
struct Recording {
    to_api_server: Vec<u8>,
    from_api_server: Vec<u8>,
}

#[derive(Clone)]
struct Ends {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    api_server: SocketAddr,
    recordings: Arc<Recordings>,
}

impl Recorder {
    /// Leads to an API server on a loopback address.
    pub async fn start(api_server: &ApiServer) -> Result<Self> {
        let address = api_server
            .url
            .strip_prefix("https://")
            .context("not https")?;
        let (ca_pem, server_config) = own_certificate()?;
        let ends = Ends {
            acceptor: TlsAcceptor::from(Arc::new(server_config)),
            connector: TlsConnector::from(Arc::new(trusting(&api_server.ca_pem)?)),
            api_server: address.parse()?,
            recordings: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let recordings = ends.recordings.clone();
        let stop = CancellationToken::new();
        let serving = stop.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "owned by the guard in `Recorder`"
        )]
        tokio::spawn(async move { serving.run_until_cancelled(serve(listener, ends)).await });
        Ok(Self {
            url,
            ca_pem,
            recordings,
            _stop: stop.drop_guard(),
        })
    }

    /// As the sidecar is to call it.
    pub fn api_server(&self, token: &str) -> ApiServer {
        ApiServer {
            url: self.url.clone(),
            ca_pem: self.ca_pem.clone(),
            token: token.to_owned(),
        }
    }

    /// The one exchange whose request had that header, when the API server has
    /// said all of its answer.
    pub fn exchange(&self, name: &str, value: &str) -> Result<(Request, Response)> {
        let recordings = self
            .recordings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for recording in recordings.iter() {
            for (request, response) in recording.exchanges()? {
                if http1::values(&request.headers, name).eq([value.as_bytes()]) {
                    return Ok((request, response));
                }
            }
        }
        anyhow::bail!("no exchange with {name}: {value} was recorded")
    }
}

impl Recording {
    fn exchanges(&self) -> Result<Vec<(Request, Response)>> {
        let (mut asked, mut said) = (&self.to_api_server[..], &self.from_api_server[..]);
        let mut exchanges = Vec::new();
        while let Some((request, length)) = http1::request(asked)? {
            asked = &asked[length..];
            let Some((response, length)) = http1::response(said, &request.method)? else {
                break;
            };
            said = &said[length..];
            exchanges.push((request, response));
        }
        Ok(exchanges)
    }
}

async fn serve(listener: TcpListener, ends: Ends) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let ends = ends.clone();
        connections.spawn(async move {
            // A connection that fails is its caller's to notice.
            drop(ends.join(stream).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Ends {
    async fn join(self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let sidecar = self.acceptor.accept(stream).await?;
        let stream = TcpStream::connect(self.api_server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.api_server.ip());
        let api_server = self.connector.connect(name, stream).await?;
        let at = {
            let mut recordings = self.lock();
            recordings.push(Recording::default());
            recordings.len() - 1
        };
        let (from_sidecar, to_sidecar) = split(sidecar);
        let (from_api_server, to_api_server) = split(api_server);
        tokio::try_join!(
            copy(from_sidecar, to_api_server, |bytes| {
                self.lock()[at].to_api_server.extend_from_slice(bytes);
            }),
            copy(from_api_server, to_sidecar, |bytes| {
                self.lock()[at].from_api_server.extend_from_slice(bytes);
            }),
        )?;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Recording>> {
        self.recordings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records before it passes on, so that who has an answer finds it recorded.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    record: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        record(&buffer[..length]);
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}

fn own_certificate() -> Result<(String, ServerConfig)> {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &ca)?;
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok((ca.pem(), config))
}

fn trusting(ca_pem: &str) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
