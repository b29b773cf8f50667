//! What stands between tunnel-client and tunnel-server, and does not let a link come up.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use integration::certificate_trust::client_config;
use integration::chain::{BASE_DOMAIN, Chain};
use integration::raw_http::Connection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What it does with a connection.
#[derive(Clone)]
pub(crate) enum Does {
    /// Reads nothing, says nothing, and keeps it.
    Nothing,
    /// Ends it at once.
    Closes,
    /// Says this at once.
    Says(&'static str),
    /// Says this to a request.
    Answers(String),
    /// Passes requests to the server as this changes their heads, and all that follows.
    Passes(fn(&str) -> String, Way),
}

/// To the server.
#[derive(Clone)]
pub(crate) struct Way {
    server: SocketAddr,
    tls: Arc<ClientConfig>,
    /// After the answer's head.
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Passes,
    Cuts,
    HoldsBack,
    /// Cuts what is quiet for so long.
    CutsQuiet(Duration),
}

impl Way {
    pub(crate) fn to(chain: &Chain, then: Then) -> Result<Self> {
        Ok(Self {
            server: chain.server_address,
            tls: Arc::new(client_config(&chain.ca_file(), &[b"http/1.1"])?),
            then,
        })
    }
}

/// Serves until it is dropped.
pub(crate) struct Middlebox {
    pub(crate) port: u16,
    _serving: JoinSet<()>,
}

impl Middlebox {
    /// Without TLS.
    pub(crate) async fn plain(does: Does) -> Result<Self> {
        Self::start(None, does).await
    }

    /// Behind TLS.
    pub(crate) async fn with(tls: TlsAcceptor, does: Does) -> Result<Self> {
        Self::start(Some(tls), does).await
    }

    async fn start(tls: Option<TlsAcceptor>, does: Does) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, does) = (tls.clone(), does.clone());
                connections.spawn(async move {
                    // A connection that fails is its ends' to notice.
                    drop(serve(stream, tls, does).await);
                });
            }
        });
        Ok(Self {
            port,
            _serving: serving,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

/// TLS as the chain's server makes it, for those who trust that.
pub(crate) fn servers_tls(chain: &Chain, alpn: &[&[u8]]) -> Result<TlsAcceptor> {
    let folder = chain.folder().join("dev");
    let certificates = CertificateDer::pem_file_iter(folder.join("tls.crt"))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            certificates.collect::<Result<_, _>>()?,
            PrivateKeyDer::from_pem_file(folder.join("tls.key"))?,
        )?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, does: Does) -> Result<()> {
    match tls {
        Some(tls) => meets(tls.accept(stream).await?, does).await,
        None => meets(stream, does).await,
    }
}

async fn meets<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, does: Does) -> Result<()> {
    match does {
        Does::Nothing => std::future::pending().await,
        Does::Closes => Ok(stream.shutdown().await?),
        Does::Says(text) => {
            stream.write_all(text.as_bytes()).await?;
            Ok(stream.shutdown().await?)
        }
        Does::Answers(answer) => {
            let mut connection = Connection::new(stream);
            connection.head().await?;
            connection.send(answer).await?;
            connection.finish().await
        }
        Does::Passes(change, way) => passes(stream, change, &way).await,
    }
}

async fn passes<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    change: fn(&str) -> String,
    way: &Way,
) -> Result<()> {
    let mut client = Connection::new(stream);
    let head = client.head().await?;
    let tcp = TcpStream::connect(way.server).await?;
    let name = ServerName::try_from(BASE_DOMAIN)?;
    let server = TlsConnector::from(way.tls.clone()).connect(name, tcp);
    let mut server = Connection::new(server.await?);
    server.send(change(&head)).await?;
    let answer = server.head().await.context("no answer")?;
    client.send(answer).await?;
    let ((mut client, early), (mut server, late)) = (client.into_parts(), server.into_parts());
    match way.then {
        Then::Cuts => return Ok(()),
        Then::HoldsBack => return std::future::pending().await,
        Then::Passes | Then::CutsQuiet(_) => {
            server.write_all(&early).await?;
            client.write_all(&late).await?;
        }
    }
    match way.then {
        Then::CutsQuiet(after) => cuts_quiet(client, server, after).await,
        _ => {
            copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
    }
}

async fn cuts_quiet<C, S>(client: C, server: S, after: Duration) -> Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (tokio::io::split(client), tokio::io::split(server));
    let (mut up, mut down) = ([0; 16384], [0; 16384]);
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => match read? {
                0 => return Ok(()),
                read => to_server.write_all(&up[..read]).await?,
            },
            read = from_server.read(&mut down) => match read? {
                0 => return Ok(()),
                read => to_client.write_all(&down[..read]).await?,
            },
            () = sleep(after) => return Ok(()),
        }
        to_server.flush().await?;
        to_client.flush().await?;
    }
}
