//! A watch as a caller holds it, in each of the ways that the API server serves.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use futures_util::StreamExt;
use integration::certificate_trust::client_config;
use integration::chain::{Chain, SOON};
use integration::http_version::HttpVersion;
use reqwest::Client;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// How a watch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Http1,
    Http2,
    WebSocket,
}

/// An open watch.
pub(crate) enum Watch {
    /// Over chunked HTTP/1.1 or over HTTP/2: a line an event.
    Lines {
        response: reqwest::Response,
        buffer: BytesMut,
    },
    /// A message an event.
    Socket(Box<WebSocketStream<TlsStream<TcpStream>>>),
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::WebSocket];

    /// Opens a watch on a connection of its own.
    pub(crate) async fn open(self, chain: &Chain, path: &str) -> Result<Watch> {
        match self {
            Self::Http1 => {
                Watch::lines(
                    HttpVersion::Http1,
                    &HttpVersion::Http1.caller(chain)?,
                    chain,
                    path,
                )
                .await
            }
            Self::Http2 => {
                Watch::lines(
                    HttpVersion::Http2,
                    &HttpVersion::Http2.caller(chain)?,
                    chain,
                    path,
                )
                .await
            }
            Self::WebSocket => Watch::socket(chain, path).await,
        }
    }
}

impl Watch {
    /// Opens a watch with a caller that may have others open.
    pub(crate) async fn lines(
        version: HttpVersion,
        caller: &Client,
        chain: &Chain,
        path: &str,
    ) -> Result<Self> {
        let url = format!("{}{path}", chain.url_by_host());
        let response = timeout(SOON, version.get(caller, &url))
            .await
            .context("no answer to a watch")??;
        Ok(Self::Lines {
            response,
            buffer: BytesMut::new(),
        })
    }

    async fn socket(chain: &Chain, path: &str) -> Result<Self> {
        let tls = client_config(&chain.ca_file(), &[b"http/1.1"])?;
        let tcp = TcpStream::connect(chain.server_address).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(tls))
            .connect(ServerName::try_from(chain.host())?, tcp)
            .await?;
        let mut request = format!("wss://{}{path}", chain.host()).into_client_request()?;
        let token = format!("Bearer {}", chain.access_token.expose());
        let headers = request.headers_mut();
        headers.insert("authorization", token.parse()?);
        // As browsers do; the API server refuses a WebSocket watch without one.
        let origin = format!("https://{}", chain.host());
        headers.insert("origin", origin.parse()?);
        let opened = timeout(SOON, tokio_tungstenite::client_async(request, stream));
        let (socket, _) = opened.await.context("no answer to a watch")??;
        Ok(Self::Socket(Box::new(socket)))
    }

    /// The next event, or nothing at the watch's clean end. A cut is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        timeout(SOON, self.receive())
            .await
            .context("no event came")?
    }

    /// As [`Self::next`], of a watch that may not end.
    pub(crate) async fn event(&mut self) -> Result<Value> {
        self.next().await?.context("the watch ended")
    }

    async fn receive(&mut self) -> Result<Option<Value>> {
        match self {
            Self::Lines { response, buffer } => loop {
                if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line = buffer.split_to(end + 1);
                    return Ok(Some(serde_json::from_slice(&line)?));
                }
                match response.chunk().await? {
                    Some(chunk) => buffer.extend_from_slice(&chunk),
                    None if buffer.is_empty() => return Ok(None),
                    None => bail!("the watch ended within an event"),
                }
            },
            Self::Socket(socket) => loop {
                match socket.next().await.transpose()? {
                    Some(Message::Text(text)) => return Ok(Some(serde_json::from_str(&text)?)),
                    Some(Message::Binary(bytes)) => {
                        return Ok(Some(serde_json::from_slice(&bytes)?));
                    }
                    Some(_) => {}
                    None => return Ok(None),
                }
            },
        }
    }
}
