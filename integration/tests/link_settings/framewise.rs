//! A caller's HTTP/2 connection in bytes: DATA frames as small as it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, SOON};
use integration::http2_connection::{Frame, FrameReader, FrameWriter, frames};
use integration::http2_frames::{
    PREFACE, data, flag, frame_head, headers, kind, setting, settings,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

type Stream = TlsStream<TcpStream>;

/// Frames written at once.
const BATCH: usize = 500;
/// The only stream.
const STREAM: u32 = 1;

/// One request whose body is sent frame by frame.
pub(crate) struct Framewise {
    writer: FrameWriter<WriteHalf<Stream>>,
    /// What may be sent of the body: HTTP/2's own start, and all that came since.
    credit: Arc<AtomicI64>,
    frames: mpsc::Receiver<Frame>,
    _reading: JoinSet<()>,
}

impl Framewise {
    /// Sends the head of a request.
    pub(crate) async fn send(chain: &Chain, method: &str, path: &str) -> Result<Self> {
        let caller = chain
            .raw_caller_from(std::net::Ipv4Addr::LOCALHOST, b"h2")
            .await?;
        let (stream, read) = caller.into_parts();
        let (reader, mut writer) = frames(stream, read);
        let (host, token) = (chain.host(), chain.access_token.expose());
        let token = format!("Bearer {token}");
        let own = [(setting::INITIAL_WINDOW_SIZE, (1 << 31) - 1)];
        let head = [
            (":method", method),
            (":scheme", "https"),
            (":authority", &host),
            (":path", path),
            ("authorization", &token),
        ];
        let end = if method == "GET" {
            flag::END_STREAM
        } else {
            flag::NONE
        };
        writer
            .send([PREFACE, &settings(&own), &headers(STREAM, end, &head)].concat())
            .await?;
        let credit = Arc::new(AtomicI64::new(0));
        let (to_us, frames) = mpsc::channel(16);
        let mut reading = JoinSet::new();
        reading.spawn(follow(reader, credit.clone(), to_us));
        Ok(Self {
            writer,
            credit,
            frames,
            _reading: reading,
        })
    }

    /// Sends so many DATA frames of so many bytes each; waits for credit.
    pub(crate) async fn data(&mut self, count: usize, length: u32) -> Result<()> {
        let mut one = frame_head(length, kind::DATA, flag::NONE, STREAM);
        one.resize(one.len() + length as usize, b'x');
        let mut left = count;
        while left > 0 {
            let batch = left.min(BATCH);
            let cost = batch as i64 * i64::from(length);
            while self.credit.load(Ordering::SeqCst) < cost.max(1) {
                let frame = timeout(SOON, self.frames.recv())
                    .await
                    .context("no credit")?;
                self.note(&frame.context("the connection has ended")?)
                    .await?;
            }
            self.credit.fetch_sub(cost, Ordering::SeqCst);
            self.writer.send(one.repeat(batch)).await?;
            left -= batch;
        }
        Ok(())
    }

    /// Ends the body, and reads the body of the answer.
    pub(crate) async fn answer(&mut self) -> Result<String> {
        self.writer
            .send(data(STREAM, flag::END_STREAM, b""))
            .await?;
        let mut answer = Vec::new();
        loop {
            let frame = timeout(SOON, self.frames.recv())
                .await
                .context("no answer")?;
            let frame = frame.context("the connection has ended")?;
            self.note(&frame).await?;
            if frame.kind == kind::DATA {
                answer.extend_from_slice(&frame.payload);
            }
            let may_end = matches!(frame.kind, kind::DATA | kind::HEADERS);
            if may_end && frame.flags & flag::END_STREAM != 0 {
                return Ok(String::from_utf8(answer)?);
            }
        }
    }

    async fn note(&mut self, frame: &Frame) -> Result<()> {
        ensure!(
            !matches!(frame.kind, kind::GOAWAY | kind::RST_STREAM),
            "refused: {frame:?}"
        );
        if let Some(acknowledgement) = frame.acknowledgement() {
            self.writer.send(acknowledgement).await?;
        }
        Ok(())
    }
}

/// Of the connection and of the stream the smaller is what may be sent; the
/// server gives the stream less.
async fn follow(
    mut reader: FrameReader<ReadHalf<Stream>>,
    credit: Arc<AtomicI64>,
    frames: mpsc::Sender<Frame>,
) {
    let mut windows = [65_535_i64; 2];
    let mut given = 0;
    while let Some(frame) = reader.next().await {
        let number = |at: usize| {
            let bytes = frame.payload.get(at..at + 4);
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_be_bytes)
        };
        if frame.kind == kind::WINDOW_UPDATE {
            windows[usize::from(frame.stream != 0)] += i64::from(number(0));
        }
        if frame.kind == kind::SETTINGS {
            for at in (0..frame.payload.len()).step_by(6) {
                if frame.payload[at..at + 2] == setting::INITIAL_WINDOW_SIZE.to_be_bytes() {
                    windows[1] += i64::from(number(at + 2)) - 65_535;
                }
            }
        }
        let now = windows[0].min(windows[1]);
        credit.fetch_add(now - given, Ordering::SeqCst);
        given = now;
        if frames.send(frame).await.is_err() {
            return;
        }
    }
}
