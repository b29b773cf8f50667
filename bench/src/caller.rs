//! One connection of a caller.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use service_kit::tasks::Spawner;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tunnel_protocol::limits::{CONNECTION_WINDOW, FRAME, STREAM_WINDOW};

/// What a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

impl Version {
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Whom to call.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub host: String,
    pub ca_file: std::path::PathBuf,
    pub token: Option<String>,
}

/// An open connection. A clone of an HTTP/2 one shares it.
pub enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>, HeaderMap),
    Http2(http2::SendRequest<Empty<Bytes>>, HeaderMap, String),
}

impl Target {
    pub fn tls(&self, version: Version) -> Result<Arc<ClientConfig>> {
        let config = service_kit::tls::client_config(Some(&self.ca_file), &[version.alpn()])?;
        Ok(Arc::new(config))
    }

    /// Connects; the connection's own task runs in `spawner`.
    pub async fn connect(
        &self,
        version: Version,
        tls: Arc<ClientConfig>,
        spawner: &Spawner,
    ) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.host.clone())?;
        let stream = TlsConnector::from(tls).connect(name, stream).await?;
        let io = TokioIo::new(stream);
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("bench"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        if let Some(token) = &self.token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let authority = format!("{}:{}", self.host, self.address.port());
        match version {
            Version::Http1 => {
                headers.insert(HOST, HeaderValue::try_from(&authority)?);
                let (sender, driver) = http1::handshake(io).await?;
                spawner.spawn(async move { drop(driver.await) });
                Ok(Connection::Http1(sender, headers))
            }
            Version::Http2 => {
                let (sender, driver) = http2::Builder::new(spawner.clone())
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .max_frame_size(FRAME)
                    .handshake(io)
                    .await?;
                spawner.spawn(async move { drop(driver.await) });
                Ok(Connection::Http2(sender, headers, authority))
            }
        }
    }
}

impl Connection {
    /// A further user of an HTTP/2 connection.
    pub fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(..) => None,
            Self::Http2(sender, headers, authority) => Some(Self::Http2(
                sender.clone(),
                headers.clone(),
                authority.clone(),
            )),
        }
    }

    /// The head of the answer.
    pub async fn open(&mut self, path: &str) -> Result<Response<Incoming>> {
        let response = match self {
            Self::Http1(sender, headers) => {
                let mut request = Request::get(path).body(Empty::new())?;
                headers.clone_into(request.headers_mut());
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender, headers, authority) => {
                let uri = format!("https://{authority}{path}");
                let mut request = Request::get(uri).body(Empty::new())?;
                headers.clone_into(request.headers_mut());
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let status = response.status();
        ensure!(status == StatusCode::OK, "{path} was answered {status}");
        Ok(response)
    }

    /// A whole exchange; gives the body's length.
    pub async fn get(&mut self, path: &str) -> Result<u64> {
        let mut body = self.open(path).await?.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len) as u64;
        }
        Ok(length)
    }

    /// A watch that has sent its first event. It lives as long as its body.
    pub async fn watch(&mut self, path: &str) -> Result<Incoming> {
        let mut body = self.open(path).await?.into_body();
        body.frame()
            .await
            .context("the watch ended before its first event")??;
        Ok(body)
    }
}
