//! A stranger over HTTP/2, frame by frame: polite enough to acknowledge what the
//! server says, so that no timer for the silent ends it.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use integration::chain::{Chain, SOON};
use integration::http2_connection::{Frame, FrameReader, FrameWriter, frames};
use integration::http2_frames::{PREFACE, flag, headers, kind, settings};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

type Stream = TlsStream<TcpStream>;

pub(crate) struct Stranger {
    reader: FrameReader<ReadHalf<Stream>>,
    writer: FrameWriter<WriteHalf<Stream>>,
    requests: u32,
    pub(crate) seen: Seen,
}

/// What the server said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answers: u32,
    pub(crate) goodbye: bool,
    pub(crate) ended: bool,
}

/// What a stranger asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    host: String,
    path: &'static str,
    token: Option<String>,
}

impl Ask {
    pub(crate) fn of(host: impl Into<String>, path: &'static str) -> Self {
        Self {
            host: host.into(),
            path,
            token: None,
        }
    }

    /// With a token, which nobody knows.
    pub(crate) fn with(self, token: &str) -> Self {
        Self {
            token: Some(format!("Bearer {token}")),
            ..self
        }
    }

    fn frame(&self, stream: u32) -> Vec<u8> {
        let mut fields = vec![
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", &*self.host),
            (":path", self.path),
        ];
        if let Some(token) = &self.token {
            fields.push(("authorization", token));
        }
        headers(stream, flag::END_STREAM, &fields)
    }
}

impl Stranger {
    /// Connects with these settings.
    pub(crate) async fn comes(chain: &Chain, from: Ipv4Addr, with: &[(u16, u32)]) -> Result<Self> {
        let connecting = chain.raw_caller_from(from, b"h2");
        let mut caller = timeout(SOON, connecting).await.context("no TLS")??;
        caller.send([PREFACE, &settings(with)].concat()).await?;
        let (stream, read) = caller.into_parts();
        let (reader, writer) = frames(stream, read);
        Ok(Self {
            reader,
            writer,
            requests: 0,
            seen: Seen::default(),
        })
    }

    /// Sends so many requests at once, whether or not the server still takes them.
    pub(crate) async fn asks(&mut self, what: &Ask, times: u32) {
        let first = self.requests;
        self.requests += times;
        let frames = (first..self.requests).flat_map(|number| what.frame(number * 2 + 1));
        drop(self.writer.send(frames.collect::<Vec<u8>>()).await);
    }

    /// Reads until so many answers have come, or the end.
    pub(crate) async fn gets(&mut self, answers: u32) -> Result<()> {
        while self.seen.answers < answers && !self.seen.ended {
            let next = timeout(SOON, self.reader.next());
            let frame = next.await.context("the server says nothing")?;
            self.takes(frame).await;
        }
        Ok(())
    }

    /// Reads on, however long that is, to the end.
    pub(crate) async fn stays(mut self) -> Seen {
        while !self.seen.ended {
            let frame = self.reader.next().await;
            self.takes(frame).await;
        }
        self.seen
    }

    async fn takes(&mut self, frame: Option<Frame>) {
        let Some(frame) = frame else {
            self.seen.ended = true;
            return;
        };
        match frame.kind {
            kind::HEADERS => self.seen.answers += 1,
            kind::GOAWAY => self.seen.goodbye = true,
            _ => {}
        }
        if let Some(acknowledgement) = frame.acknowledgement() {
            // The server may be gone meanwhile; reading tells.
            drop(self.writer.send(acknowledgement).await);
        }
    }
}
