//! What both ends of a link say of themselves in their first frames: no library
//! in between that would tell of its own.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use integration::chain::{Chain, SOON, client_arguments};
use integration::environment::Environment;
use integration::http2_connection::{FrameReader, FrameWriter, frames};
use integration::http2_frames::{PREFACE, kind, setting, settings};
use integration::raw_http::Connection;
use integration::service::Service;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tunnel_protocol::limits::{
    CONNECTION_WINDOW, FRAME, LINK_HEADERS, MAX_STREAMS, REQUEST_WINDOW, STREAM_WINDOW,
};

use crate::stage::Stage;

/// What HTTP/2 starts a connection's window with.
const INITIAL: u32 = 65_535;

/// A peer's first SETTINGS, and the window that it gives the connection.
struct Said {
    settings: Vec<(u16, u32)>,
    window: u32,
}

impl Said {
    async fn by<S: AsyncRead + AsyncWrite>(
        reader: &mut FrameReader<ReadHalf<S>>,
        writer: &mut FrameWriter<WriteHalf<S>>,
    ) -> Result<Self> {
        writer.send(settings(&[])).await?;
        let mut said = None;
        loop {
            let frame = timeout(SOON, reader.next()).await?;
            let frame = frame.context("it has closed the link")?;
            if let Some(acknowledgement) = frame.acknowledgement() {
                writer.send(acknowledgement).await?;
            }
            let number = |bytes: &[u8]| {
                let padded = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                padded & !(1 << 31)
            };
            match frame.kind {
                kind::SETTINGS if said.is_none() && !frame.payload.is_empty() => {
                    let pairs = frame.payload.chunks(6);
                    let pairs = pairs.map(|pair| (number(&pair[..2]) as u16, number(&pair[2..])));
                    said = Some(pairs.collect());
                }
                kind::WINDOW_UPDATE if frame.stream == 0 => {
                    return Ok(Self {
                        settings: said.context("credit before SETTINGS")?,
                        window: INITIAL + number(&frame.payload),
                    });
                }
                _ => {}
            }
        }
    }

    fn must_be(&self, expected: &[(u16, u32)]) -> Result<()> {
        for pair in expected {
            ensure!(
                self.settings.contains(pair),
                "{pair:?} in {:?}",
                self.settings
            );
        }
        ensure!(self.window == CONNECTION_WINDOW, "{}", self.window);
        Ok(())
    }
}

/// The test shakes hands as tunnel-client.
pub(crate) async fn the_server_says(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connection = stage.chain.raw_caller().await?;
    let token = stage.chain.connector_token.expose();
    connection
        .send(format!(
            "GET /tunnel/v1 HTTP/1.1\r\nHost: culvert.test\r\nConnection: Upgrade\r\n\
             Upgrade: culvert\r\nAuthorization: Bearer {token}\r\nculvert-protocol: 1\r\n\
             culvert-instance: another\r\nculvert-generation: 1\r\n\
             culvert-client-version: 1.2.3\r\n\r\n"
        ))
        .await?;
    let head = connection.head().await?;
    ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
    let (stream, read) = connection.into_parts();
    let (mut reader, mut writer) = frames(stream, read);
    ensure!(reader.exactly(PREFACE.len()).await? == PREFACE);
    Said::by(&mut reader, &mut writer).await?.must_be(&[
        (setting::ENABLE_PUSH, 0),
        (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        (setting::MAX_FRAME_SIZE, FRAME),
        (setting::MAX_HEADER_LIST_SIZE, LINK_HEADERS),
    ])?;
    drop((reader, writer));
    stage.strike().await
}

/// The test shakes hands as tunnel-server, with the chain's own certificate.
pub(crate) async fn tunnel_client_says(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let arguments = client_arguments(listener.local_addr()?, stage.stub.address);
    let folder = stage.chain.folder();
    let acceptor = acceptor(&stage.chain)?;
    let log = folder.join("dialling-the-test");
    std::fs::create_dir(&log)?;
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|argument| match argument.as_str() {
            "dev/ca.crt" | "connector-token" => folder.join(argument).display().to_string(),
            _ => argument,
        })
        .collect();
    let client = Service::start(stage.chain.spawner(), "tunnel-client", &arguments, &log);
    let accepting = async {
        let (stream, _) = timeout(SOON, listener.accept())
            .await
            .context("no dial")??;
        let mut connection = Connection::new(acceptor.accept(stream).await?);
        let head = connection.head().await?;
        ensure!(head.starts_with("GET /tunnel/v1 "), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
             Upgrade: culvert\r\nculvert-answer: accepted\r\n\r\n";
        connection.send(answer).await?;
        connection.send(PREFACE).await?;
        anyhow::Ok(connection.into_parts())
    };
    let (client, (stream, read)) = tokio::try_join!(client, accepting)?;
    let (mut reader, mut writer) = frames(stream, BytesMut::from(&read[..]));
    Said::by(&mut reader, &mut writer).await?.must_be(&[
        (setting::MAX_CONCURRENT_STREAMS, MAX_STREAMS),
        (setting::INITIAL_WINDOW_SIZE, REQUEST_WINDOW),
        (setting::MAX_FRAME_SIZE, FRAME),
        (setting::MAX_HEADER_LIST_SIZE, LINK_HEADERS),
    ])?;
    environment.secrets.must_not_be_in_file(&client.log())?;
    drop((client, reader, writer));
    stage.strike().await
}

fn acceptor(chain: &Chain) -> Result<TlsAcceptor> {
    let file = |name: &str| chain.folder().join("dev").join(name);
    let chain = CertificateDer::pem_file_iter(file("tls.crt"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(file("tls.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
