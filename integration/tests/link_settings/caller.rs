//! A caller's HTTP/2 connection, stream by stream: reads and sends just as much
//! as it is told.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use integration::certificate_trust::client_config;
use integration::chain::{Chain, SOON};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub(crate) struct Caller {
    sender: SendRequest<Bytes>,
    url: String,
    token: String,
    /// Drives it.
    _connection: JoinSet<()>,
}

impl Caller {
    pub(crate) async fn connect(chain: &Chain) -> Result<Self> {
        let stream = TcpStream::connect(chain.server_address).await?;
        stream.set_nodelay(true)?;
        let config = client_config(&chain.ca_file(), &[b"h2"])?;
        let name = ServerName::try_from(chain.host())?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let (sender, connection) = h2::client::Builder::new()
            .max_header_list_size(1 << 20)
            // It counts answers that come after their request was cancelled.
            .max_local_error_reset_streams(None)
            // Else the library ends a connection with a hundred frames of a few
            // bytes that were not read yet.
            .initial_connection_window_size((1 << 31) - 1)
            .handshake(stream)
            .await?;
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Ok(Self {
            sender,
            url: chain.url_by_host(),
            token: format!("Bearer {}", chain.access_token.expose()),
            _connection: driver,
        })
    }

    /// A request that is still to be sent.
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", &self.token)
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<()>,
        whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>)> {
        let ready = timeout(SOON, self.sender.clone().ready());
        self.sender = ready.await.context("no stream is free")??;
        Ok(self.sender.send_request(request, whole)?)
    }

    /// Sends a GET and takes the head of its answer.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Response<RecvStream>> {
        let request = self.request(Method::GET, path).body(())?;
        let (answer, _) = self.send(request, true).await?;
        let answer = timeout(SOON, answer).await;
        Ok(answer.with_context(|| format!("no answer to {path}"))??)
    }

    /// Sends the head of a POST.
    pub(crate) async fn post(&mut self, path: &str) -> Result<(ResponseFuture, SendStream<Bytes>)> {
        let request = self.request(Method::POST, path).body(())?;
        self.send(request, false).await
    }

    /// A GET that is answered, all of it.
    pub(crate) async fn is_served(&mut self) -> Result<()> {
        let answer = self.get("/").await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        ensure!(text(answer.into_body()).await? == "ok");
        Ok(())
    }
}

/// All that comes.
pub(crate) async fn text(mut body: RecvStream) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(data) = timeout(SOON, body.data()).await.context("no end")? {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(String::from_utf8(bytes)?)
}

/// Sends so many bytes, as they are taken.
pub(crate) async fn send(body: &mut SendStream<Bytes>, bytes: u64) -> Result<()> {
    let piece = Bytes::from_static(&[0; 64 * 1024]);
    let mut left = usize::try_from(bytes)?;
    while left > 0 {
        body.reserve_capacity(piece.len().min(left));
        let capacity = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
        let capacity = capacity.context("the stream has ended")??;
        let piece = piece.slice(..capacity.min(piece.len()).min(left));
        left -= piece.len();
        body.send_data(piece, false)?;
    }
    Ok(())
}
