//! The hostile connector: shakes hands as any tunnel-client, then is an HTTP/2
//! server frame by frame.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail, ensure};
use integration::chain::SOON;
use integration::http2_connection::{Frame, FrameReader, FrameWriter, frames};
use integration::http2_frames::{
    PREFACE, data, flag, headers, kind, setting, settings, window_update,
};
use integration::raw_http::Caller;
use integration::wait::until;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::stage::{EVILS_ANSWER, Stage};

/// Where it dials from.
pub(crate) const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// The control stream's id: the server opens it first.
pub(crate) const CONTROL: u32 = 1;
/// What a well-behaved connector asks for.
pub(crate) const ORDINARY: &[(u16, u32)] = &[
    (setting::MAX_CONCURRENT_STREAMS, 4096),
    (setting::INITIAL_WINDOW_SIZE, 4 << 20),
    (setting::MAX_FRAME_SIZE, 1 << 16),
];

pub(crate) type Stream = TlsStream<TcpStream>;

/// A connection that has been accepted as a link.
pub(crate) struct Connector {
    pub(crate) reader: FrameReader<ReadHalf<Stream>>,
    pub(crate) writer: FrameWriter<WriteHalf<Stream>>,
}

/// A connection after the server's answer to its handshake, and the status.
pub(crate) async fn ask(
    stage: &Stage,
    connection: Caller,
    instance: String,
    generation: u64,
) -> Result<(Caller, u16)> {
    ask_with(stage, connection, instance, generation, "").await
}

/// [`ask`], with more lines in the handshake's head.
pub(crate) async fn ask_with(
    stage: &Stage,
    mut connection: Caller,
    instance: String,
    generation: u64,
    lines: &str,
) -> Result<(Caller, u16)> {
    let token = stage.evils_token.expose();
    connection
        .send(format!(
            "GET /tunnel/v1 HTTP/1.1\r\nHost: culvert.test\r\nConnection: Upgrade\r\nUpgrade: culvert\r\n\
             Authorization: Bearer {token}\r\nculvert-protocol: 1\r\nculvert-instance: {instance}\r\n\
             culvert-generation: {generation}\r\nculvert-client-version: 6.6.6\r\n{lines}\r\n"
        ))
        .await?;
    let head = connection.head().await?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok((connection, status.with_context(|| head.clone())?))
}

impl Connector {
    /// A link with the connector's own SETTINGS, not answered yet.
    pub(crate) async fn link(stage: &Stage, own: &[(u16, u32)]) -> Result<Self> {
        Self::link_as(stage, own, "evil-1", 1).await
    }

    pub(crate) async fn link_as(
        stage: &Stage,
        own: &[(u16, u32)],
        instance: &str,
        generation: u64,
    ) -> Result<Self> {
        let connection = stage.chain.raw_caller_from(FROM, b"http/1.1").await?;
        let (connection, status) = ask(stage, connection, instance.to_owned(), generation).await?;
        ensure!(status == 101, "the handshake is refused: {status}");
        let (stream, read) = connection.into_parts();
        let (mut reader, mut writer) = frames(stream, read);
        ensure!(reader.exactly(PREFACE.len()).await? == PREFACE);
        writer.send(settings(own)).await?;
        Ok(Self { reader, writer })
    }

    /// A link that behaves so far: its control stream is answered.
    pub(crate) async fn settled(stage: &Stage) -> Result<Self> {
        Self::settled_with(stage, ORDINARY).await
    }

    pub(crate) async fn settled_with(stage: &Stage, own: &[(u16, u32)]) -> Result<Self> {
        let mut connector = Self::link(stage, own).await?;
        ensure!(connector.request().await? == CONTROL);
        let accepted = headers(CONTROL, flag::NONE, &[(":status", "200")]);
        connector.writer.send(accepted).await?;
        // Else a caller may still come to the link before it.
        stage.chain.links(2).await?;
        Ok(connector)
    }

    /// The next frame; SETTINGS and pings are answered.
    pub(crate) async fn next(&mut self) -> Result<Frame> {
        let frame = timeout(SOON, self.reader.next())
            .await
            .context("the server says nothing")?
            .context("the server has closed the link")?;
        if let Some(acknowledgement) = frame.acknowledgement() {
            self.writer.send(acknowledgement).await?;
        }
        Ok(frame)
    }

    /// The stream of the next request.
    pub(crate) async fn request(&mut self) -> Result<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind::HEADERS {
                return Ok(frame.stream);
            }
        }
    }

    /// Takes requests with their bodies and answers them, to the link's end.
    pub(crate) async fn behave(&mut self) -> Result<()> {
        loop {
            let frame = self.next().await?;
            let length = u32::try_from(frame.payload.len()).unwrap_or_default();
            if frame.kind == kind::DATA && length > 0 {
                self.writer.send(window_update(0, length)).await?;
            }
            let ends = matches!(frame.kind, kind::HEADERS | kind::DATA)
                && frame.flags & flag::END_STREAM != 0;
            if ends && frame.stream != CONTROL {
                self.writer.send(in_order(frame.stream)).await?;
            } else if frame.kind == kind::DATA && length > 0 {
                self.writer
                    .send(window_update(frame.stream, length))
                    .await?;
            }
        }
    }

    /// Waits until the server closes the link.
    pub(crate) async fn cut(mut self) -> Result<()> {
        match timeout(SOON, self.reader.to_the_end()).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("the server does not close the link"),
        }
    }
}

/// An answer as it should be.
pub(crate) fn in_order(stream: u32) -> Vec<u8> {
    let head = headers(stream, flag::NONE, &[(":status", "200")]);
    [
        head,
        data(stream, flag::END_STREAM, EVILS_ANSWER.as_bytes()),
    ]
    .concat()
}

/// A caller asks; the connector hears of it, says `bytes` instead of an answer,
/// and goes on reading. Gives what the caller got.
pub(crate) async fn say(
    stage: &Stage,
    connector: &mut Connector,
    bytes: impl FnOnce(u32) -> Vec<u8>,
) -> Result<crate::stage::Answer> {
    let saying = async {
        let stream = connector.request().await?;
        // The server may have cut the link before the end of it.
        drop(connector.writer.send(bytes(stream)).await);
        connector.reader.to_the_end().await;
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        answer = stage.get() => answer,
        failed = saying => Err(failed.err().context("unreachable")?),
    }
}

/// [`say`] over a link of its own, which is gone afterwards.
pub(crate) async fn say_once(
    stage: &Stage,
    bytes: impl FnOnce(u32) -> Vec<u8>,
) -> Result<crate::stage::Answer> {
    let mut connector = Connector::settled(stage).await?;
    let answer = say(stage, &mut connector, bytes).await;
    drop(connector);
    gone(stage).await?;
    answer
}

/// Waits until no link of `evil`'s is left.
pub(crate) async fn gone(stage: &Stage) -> Result<()> {
    until("the end of evil's link", SOON, || async {
        let links = stage.chain.server.metric("tunnel_server_links").await?;
        Ok((links == Some(1.0)).then_some(()))
    })
    .await
}
