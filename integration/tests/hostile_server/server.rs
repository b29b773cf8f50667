//! The hostile server: accepts the connector, and is an HTTP/2 client frame by
//! frame.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::chain::{Chain, SOON};
use integration::http2_connection::{Frame, FrameReader, FrameWriter, frames};
use integration::http2_frames::{PREFACE, data, flag, headers, kind, settings};
use integration::raw_http::Connection;
use integration::wait::until;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The answer to a handshake that makes a link of the connection.
pub(crate) const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: culvert\r\nculvert-answer: accepted\r\n\r\n";
/// The control stream's id.
pub(crate) const CONTROL: u32 = 1;
/// What makes the link count.
pub(crate) const REGISTERED: &[u8] =
    b"{\"type\":\"registered\",\"urls\":[\"https://taken.over\"],\"replica\":\"1\"}\n";

/// How an ordinary request begins.
pub(crate) const GET: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "localhost"),
    (":path", "/ordinary"),
];

type Stream = TlsStream<TcpStream>;

pub(crate) struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// A connector's connection, as far as a link.
pub(crate) struct Link {
    pub(crate) reader: FrameReader<ReadHalf<Stream>>,
    pub(crate) writer: FrameWriter<WriteHalf<Stream>>,
    next: u32,
}

impl Server {
    /// In the place of the chain's own, which has ended.
    pub(crate) async fn take_over(chain: &Chain) -> Result<Self> {
        let folder = chain.folder().join("dev");
        let certificates = CertificateDer::pem_file_iter(folder.join("tls.crt"))?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                certificates.collect::<Result<_, _>>()?,
                PrivateKeyDer::from_pem_file(folder.join("tls.key"))?,
            )?;
        let listener = until("the port to be free", SOON, || async {
            Ok(TcpListener::bind(chain.server_address).await.ok())
        });
        Ok(Self {
            listener: listener.await?,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// The connector's next connection.
    pub(crate) async fn tcp(&self) -> Result<TcpStream> {
        let (stream, _) = timeout(SOON, self.listener.accept())
            .await
            .context("the connector does not dial")??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Its next handshake.
    pub(crate) async fn handshake(&self) -> Result<Connection<Stream>> {
        let stream = self.tcp().await?;
        let stream = timeout(SOON, self.acceptor.accept(stream)).await??;
        let mut connection = Connection::new(stream);
        connection.head().await?;
        Ok(connection)
    }

    /// Answers the next handshake with these bytes, and nothing more.
    pub(crate) async fn answer(&self, bytes: impl AsRef<[u8]>) -> Result<Connection<Stream>> {
        let mut connection = self.handshake().await?;
        // It may have seen enough before the end.
        drop(connection.send(bytes).await);
        Ok(connection)
    }

    /// A link that is not registered.
    pub(crate) async fn bare_link(&self) -> Result<Link> {
        let (stream, read) = self.answer(ACCEPTED).await?.into_parts();
        let (reader, mut writer) = frames(stream, read);
        writer.send([PREFACE, &settings(&[])].concat()).await?;
        Ok(Link {
            reader,
            writer,
            next: CONTROL,
        })
    }

    /// A link as the connector expects it.
    pub(crate) async fn link(&self) -> Result<Link> {
        let mut link = self.bare_link().await?;
        let control = link.open_control(REGISTERED);
        link.writer.send(control).await?;
        Ok(link)
    }
}

impl Link {
    /// The next stream's id.
    pub(crate) fn stream(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Opens a control stream with these first words.
    pub(crate) fn open_control(&mut self, words: &[u8]) -> Vec<u8> {
        self.open_control_with(&[], words)
    }

    /// With these fields, too.
    pub(crate) fn open_control_with(&mut self, more: &[(&str, &str)], words: &[u8]) -> Vec<u8> {
        let mut fields = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", "/"),
            ("culvert-stream", "control"),
        ];
        fields.extend(more);
        let stream = self.stream();
        [
            headers(stream, flag::NONE, &fields),
            data(stream, flag::NONE, words),
        ]
        .concat()
    }

    /// An ordinary request.
    pub(crate) fn get(&mut self) -> Vec<u8> {
        let stream = self.stream();
        headers(stream, flag::END_STREAM, GET)
    }

    /// The next frame; SETTINGS and pings are answered. Nothing at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>> {
        let frame = timeout(SOON, self.reader.next())
            .await
            .context("the connector says nothing")?;
        if let Some(acknowledgement) = frame.as_ref().and_then(Frame::acknowledgement) {
            drop(self.writer.send(acknowledgement).await);
        }
        Ok(frame)
    }

    /// The first frame that ends or resets the stream; nothing when the link ends
    /// before.
    pub(crate) async fn ended(&mut self, stream: u32) -> Result<Option<Frame>> {
        while let Some(frame) = self.next().await? {
            let ends = matches!(frame.kind, kind::HEADERS | kind::DATA)
                && frame.flags & flag::END_STREAM != 0;
            if frame.stream == stream && (ends || frame.kind == kind::RST_STREAM) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// An ordinary request is answered over it.
    pub(crate) async fn works(&mut self) -> Result<()> {
        let request = self.get();
        self.writer.send(request).await?;
        let ended = self
            .ended(self.next - 2)
            .await?
            .context("the link has ended")?;
        anyhow::ensure!(ended.kind == kind::DATA, "{ended:?}");
        Ok(())
    }

    /// Waits until the connector closes it.
    pub(crate) async fn cut(mut self) -> Result<()> {
        timeout(SOON, self.reader.to_the_end())
            .await
            .context("the connector does not close the link")
    }
}
