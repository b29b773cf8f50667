//! One outbound TLS connection to the server, straight or through a proxy.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_relay::body::error_chain;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use service_kit::paced_read::PacedRead;
use service_kit::proxy::{ConnectError, HttpProxy};
use service_kit::tls::{TlsError, client_config};
use service_kit::write_stall::WriteStall;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tunnel_protocol::limits::WRITE_STALL;

use crate::server_url::ServerUrl;

/// For one address: the next one, often of the other IP version, is to have its
/// turn within the handshake's deadline.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// What TLS with the server runs on: TCP, or what a proxy leads on.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// The connection that becomes a link.
pub(crate) type Connection = WriteStall<PacedRead<TlsStream<Box<dyn Carrier>>>>;

/// Dials the server.
pub(crate) struct Dialer {
    server: ServerUrl,
    proxy: Option<HttpProxy>,
    tls: Arc<ClientConfig>,
}

/// The step at which dialling failed.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    #[error("cannot resolve {host}: {cause}")]
    Resolve { host: String, cause: std::io::Error },
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error("{0} does not answer")]
    Silent(SocketAddr),
    #[error("TLS with {peer}: {fault}")]
    Tls { peer: String, fault: String },
    #[error("the proxy {proxy} cannot be reached: {cause}")]
    ProxyUnreachable {
        proxy: String,
        cause: Box<DialError>,
    },
    #[error("the proxy {proxy} leads nowhere: {cause}")]
    Proxy { proxy: String, cause: ConnectError },
}

impl Dialer {
    pub(crate) fn new(
        server: ServerUrl,
        proxy: Option<HttpProxy>,
        ca_file: Option<&Path>,
    ) -> Result<Self, TlsError> {
        // The handshake is an HTTP/1.1 upgrade, as CONNECT is HTTP/1.1; HTTP/2
        // starts after it.
        let tls = client_config(ca_file, &[b"http/1.1"])?;
        Ok(Self {
            server,
            proxy,
            tls: Arc::new(tls),
        })
    }

    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// As the log names it.
    pub(crate) fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(ToString::to_string)
    }

    /// Resolves anew, tries each address in turn, and makes TLS. The caller sets
    /// the deadline.
    pub(crate) async fn dial(&self) -> Result<Connection, DialError> {
        let ServerUrl {
            host,
            port,
            tls_name,
        } = &self.server;
        let stream = match &self.proxy {
            None => {
                let peer = self.server.to_string();
                let secure =
                    async |tcp: TcpStream| self.secure(tls_name, &peer, Box::new(tcp)).await;
                first_address(host, *port, secure).await?
            }
            Some(proxy) => {
                let carrier = self.through(proxy).await?;
                let peer = format!("{} through the proxy {proxy}", self.server);
                self.secure(tls_name, &peer, carrier).await?
            }
        };
        Ok(WriteStall::new(PacedRead::new(stream), WRITE_STALL))
    }

    /// To the server's port, as the proxy resolves its name.
    async fn through(&self, proxy: &HttpProxy) -> Result<Box<dyn Carrier>, DialError> {
        let reach = async |tcp: TcpStream| self.to_proxy(proxy, tcp).await;
        let carrier = first_address(&proxy.host, proxy.port, reach)
            .await
            .map_err(|cause| DialError::ProxyUnreachable {
                proxy: proxy.to_string(),
                cause: Box::new(cause),
            })?;
        let connected = proxy
            .connect(carrier, &self.server.host_and_port())
            .await
            .map_err(|cause| DialError::Proxy {
                proxy: proxy.to_string(),
                cause,
            })?;
        Ok(Box::new(TokioIo::new(connected)))
    }

    async fn to_proxy(
        &self,
        proxy: &HttpProxy,
        tcp: TcpStream,
    ) -> Result<Box<dyn Carrier>, DialError> {
        let Some(name) = &proxy.tls_name else {
            return Ok(Box::new(tcp));
        };
        let secured = self.secure(name, &proxy.to_string(), Box::new(tcp)).await?;
        Ok(Box::new(secured))
    }

    async fn secure(
        &self,
        name: &ServerName<'static>,
        peer: &str,
        carrier: Box<dyn Carrier>,
    ) -> Result<TlsStream<Box<dyn Carrier>>, DialError> {
        TlsConnector::from(self.tls.clone())
            .connect(name.clone(), carrier)
            .await
            .map_err(|error| DialError::Tls {
                peer: peer.to_owned(),
                fault: error_chain(&error),
            })
    }
}

/// What `reach` makes of the first address that it succeeds with.
async fn first_address<T>(
    host: &str,
    port: u16,
    reach: impl AsyncFn(TcpStream) -> Result<T, DialError>,
) -> Result<T, DialError> {
    let addresses = lookup_host((host, port))
        .await
        .map_err(|cause| DialError::Resolve {
            host: host.to_owned(),
            cause,
        })?;
    let mut last = DialError::NoAddress(host.to_owned());
    for address in addresses {
        let reached = match tcp(address).await {
            Ok(stream) => reach(stream).await,
            Err(error) => Err(error),
        };
        match reached {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn tcp(address: SocketAddr) -> Result<TcpStream, DialError> {
    let stream = timeout(ADDRESS_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| DialError::Silent(address))?
        .map_err(|cause| DialError::Connect { address, cause })?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    Ok(stream)
}
