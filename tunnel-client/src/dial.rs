//! One outbound TLS connection to the server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_relay::body::error_chain;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use service_kit::tls::{TlsError, client_config};
use service_kit::write_stall::WriteStall;
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tunnel_protocol::limits::WRITE_STALL;

use crate::server_url::ServerUrl;

/// For one address: the next one, often of the other IP version, is to have its
/// turn within the handshake's deadline.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// The connection that becomes a link.
pub(crate) type Connection = WriteStall<TlsStream<TcpStream>>;

/// Dials the server.
pub(crate) struct Dialer {
    server: ServerUrl,
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
    #[error("TLS with {server}: {fault}")]
    Tls { server: String, fault: String },
}

impl Dialer {
    pub(crate) fn new(server: ServerUrl, ca_file: Option<&Path>) -> Result<Self, TlsError> {
        // The handshake is an HTTP/1.1 upgrade; HTTP/2 starts after it.
        let tls = client_config(ca_file, &[b"http/1.1"])?;
        Ok(Self {
            server,
            tls: Arc::new(tls),
        })
    }

    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Resolves anew, tries each address in turn, and makes TLS. The caller sets
    /// the deadline.
    pub(crate) async fn dial(&self) -> Result<Connection, DialError> {
        let ServerUrl {
            host,
            port,
            tls_name,
        } = &self.server;
        let addresses =
            lookup_host((host.as_str(), *port))
                .await
                .map_err(|cause| DialError::Resolve {
                    host: host.clone(),
                    cause,
                })?;
        let mut last = DialError::NoAddress(host.clone());
        for address in addresses {
            match self.connect(address, tls_name).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect(
        &self,
        address: SocketAddr,
        name: &ServerName<'static>,
    ) -> Result<Connection, DialError> {
        let stream = timeout(ADDRESS_TIMEOUT, TcpStream::connect(address))
            .await
            .map_err(|_| DialError::Silent(address))?
            .map_err(|cause| DialError::Connect { address, cause })?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's algorithm");
        }
        let connecting = TlsConnector::from(self.tls.clone()).connect(name.clone(), stream);
        let stream = connecting.await.map_err(|error| DialError::Tls {
            server: self.server.to_string(),
            fault: error_chain(&error),
        })?;
        Ok(WriteStall::new(stream, WRITE_STALL))
    }
}
