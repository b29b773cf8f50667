//! Callers that show an answer as it came: headers in their order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use integration::certificate_trust::client_config;
use integration::chain::Chain;
use integration::http1;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For what takes milliseconds on an idle machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a caller calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A request, without the caller's token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: Vec<u8>,
}

impl Protocol {
    /// One request on a connection of its own.
    pub(crate) async fn send(self, chain: &Chain, call: &Call<'_>) -> Result<http1::Response> {
        let answer = async {
            match self {
                Self::Http1 => send_http1(chain, call).await,
                Self::Http2 => send_http2(chain, call).await,
            }
        };
        tokio::time::timeout(DEADLINE, answer)
            .await
            .context("no answer")?
    }
}

async fn send_http1(chain: &Chain, call: &Call<'_>) -> Result<http1::Response> {
    let mut request = format!("{} {} HTTP/1.1\r\n", call.method, call.path);
    for (name, value) in all_headers(chain, call) {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("host: {}\r\nconnection: close\r\n\r\n", chain.host());
    let mut connection = connect(chain, b"http/1.1").await?;
    connection.write_all(request.as_bytes()).await?;
    connection.write_all(&call.body).await?;
    connection.flush().await?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).await?;
    let (response, length) = http1::response(&bytes, call.method)?.context("a cut answer")?;
    anyhow::ensure!(length == bytes.len(), "bytes behind the answer");
    Ok(response)
}

async fn send_http2(chain: &Chain, call: &Call<'_>) -> Result<http1::Response> {
    let io = TokioIo::new(connect(chain, b"h2").await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    let mut request = http::Request::builder().method(call.method).uri(format!(
        "https://{}{}",
        chain.host(),
        call.path
    ));
    for (name, value) in all_headers(chain, call) {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(call.body.clone())))?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().map(owned).unwrap_or_default();
        Ok(http1::Response {
            status: parts.status.as_u16(),
            headers: owned(&parts.headers),
            body: body.to_bytes().into(),
            trailers,
        })
    };
    tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(ended.err().map_or_else(
            || anyhow::anyhow!("the connection ended before the answer"),
            anyhow::Error::from,
        )),
    }
}

fn owned(headers: &http::HeaderMap) -> http1::Headers {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect()
}

fn all_headers<'a>(chain: &Chain, call: &'a Call<'_>) -> Vec<(&'a str, String)> {
    let mut headers = vec![(
        "authorization",
        format!("Bearer {}", chain.access_token.expose()),
    )];
    if !call.body.is_empty() {
        headers.push(("content-length", call.body.len().to_string()));
    }
    let own = call.headers.iter();
    headers.extend(own.map(|(name, value)| (*name, (*value).to_owned())));
    headers
}

async fn connect(chain: &Chain, alpn: &[u8]) -> Result<TlsStream<TcpStream>> {
    let config = client_config(&chain.ca_file(), &[alpn])?;
    let stream = TcpStream::connect(chain.server_address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(chain.host())?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    anyhow::ensure!(
        stream.get_ref().1.alpn_protocol() == Some(alpn),
        "another protocol was chosen"
    );
    Ok(stream)
}
