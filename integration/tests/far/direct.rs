//! A TLS connection over the same way, without a tunnel.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::certificate_trust::client_config;
use integration::chain::Chain;
use integration::slow_path::{SlowPath, Way};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PIECE: usize = 64 << 10;

/// A server that sends as many bytes as it is asked for, or takes as many.
pub(crate) struct Direct {
    path: SlowPath,
    _serving: JoinSet<()>,
}

/// A connection to it.
pub(crate) struct Connection(TlsStream<TcpStream>);

impl Direct {
    /// With the chain's certificate.
    pub(crate) async fn start(chain: &Chain, way: Way) -> Result<Self> {
        let folder = chain.folder().join("dev");
        let certificates = CertificateDer::pem_file_iter(folder.join("tls.crt"))?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                certificates.collect::<Result<_, _>>()?,
                PrivateKeyDer::from_pem_file(folder.join("tls.key"))?,
            )?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address: SocketAddr = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(serve(listener, acceptor).await) });
        Ok(Self {
            path: SlowPath::start(address, way).await?,
            _serving: serving,
        })
    }

    pub(crate) async fn connect(&self, chain: &Chain) -> Result<Connection> {
        let config = client_config(&chain.ca_file(), &[])?;
        let stream = TcpStream::connect(self.path.address).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost")?;
        Ok(Connection(connector.connect(name, stream).await?))
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> Result<()> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![b'x'; PIECE];
    loop {
        let sends = stream.read_u8().await? == b'<';
        let mut left = usize::try_from(stream.read_u64().await?)?;
        while left > 0 {
            let piece = left.min(PIECE);
            left -= if sends {
                stream.write_all(&buffer[..piece]).await?;
                piece
            } else {
                stream.read(&mut buffer[..piece]).await?
            };
        }
        stream.write_u8(b'.').await?;
        stream.flush().await?;
    }
}

impl Connection {
    async fn ask(&mut self, what: u8, bytes: usize) -> Result<()> {
        self.0.write_u8(what).await?;
        self.0.write_u64(bytes as u64).await?;
        Ok(self.0.flush().await?)
    }

    async fn is_done(&mut self) -> Result<()> {
        ensure!(self.0.read_u8().await.context("no end")? == b'.');
        Ok(())
    }

    pub(crate) async fn receive(&mut self, bytes: usize) -> Result<()> {
        self.ask(b'<', bytes).await?;
        let mut buffer = vec![0; PIECE];
        let mut left = bytes;
        while left > 0 {
            let read = self.0.read(&mut buffer[..left.min(PIECE)]).await?;
            ensure!(read > 0, "{left} bytes are missing");
            left -= read;
        }
        self.is_done().await
    }

    pub(crate) async fn send(&mut self, bytes: usize) -> Result<()> {
        self.ask(b'>', bytes).await?;
        let buffer = vec![b'x'; PIECE];
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(PIECE);
            self.0.write_all(&buffer[..piece]).await?;
            left -= piece;
        }
        self.0.flush().await?;
        self.is_done().await
    }
}
