//! An HTTP/2 connection frame by frame: reads what a peer says, writes whatever
//! it is told.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use crate::http2_frames::{flag, kind, ping, settings_ack};

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Bytes,
}

impl Frame {
    /// What a polite peer says to it.
    pub fn acknowledgement(&self) -> Option<Vec<u8>> {
        if self.flags & flag::ACK != 0 {
            return None;
        }
        match self.kind {
            kind::SETTINGS => Some(settings_ack()),
            kind::PING => {
                let payload = self.payload.as_ref().try_into().unwrap_or_default();
                Some(ping(flag::ACK, u64::from_be_bytes(payload)))
            }
            _ => None,
        }
    }
}

/// The reading half.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
}

/// The writing half.
#[derive(Debug)]
pub struct FrameWriter<W>(W);

/// Both halves of a connection; `read` is what was read from it already.
pub fn frames<S: AsyncRead + AsyncWrite>(
    stream: S,
    read: BytesMut,
) -> (FrameReader<ReadHalf<S>>, FrameWriter<WriteHalf<S>>) {
    let (stream, writer) = split(stream);
    let reader = FrameReader {
        stream,
        buffer: read,
    };
    (reader, FrameWriter(writer))
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// The next frame, or nothing at the connection's end, however it came.
    pub async fn next(&mut self) -> Option<Frame> {
        let head = self.exactly(9).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.exactly(usize::try_from(length).ok()?).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: stream & (u32::MAX >> 1),
            payload,
        })
    }

    /// So many bytes, as of a client's preface.
    pub async fn exactly(&mut self, count: usize) -> Result<Bytes> {
        while self.buffer.len() < count {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the connection has ended");
        }
        Ok(self.buffer.split_to(count).freeze())
    }

    /// Reads on to the connection's end.
    pub async fn to_the_end(&mut self) {
        self.buffer.clear();
        while self
            .stream
            .read_buf(&mut self.buffer)
            .await
            .is_ok_and(|count| count > 0)
        {
            self.buffer.clear();
        }
    }
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.0.write_all(bytes.as_ref()).await?;
        Ok(self.0.flush().await?)
    }
}

/// Sends all batches and reads what is said to them. Tells whether the peer took
/// all of them; if not, it has ended the connection.
pub async fn flood<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    batches: impl Iterator<Item = Vec<u8>>,
    within: Duration,
) -> Result<bool>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let writing = async {
        for batch in batches {
            if writer.send(&batch).await.is_err() {
                return false;
            }
        }
        true
    };
    let reading = async {
        reader.to_the_end().await;
        false
    };
    let both = async {
        tokio::select! {
            taken = writing => taken,
            cut = reading => cut,
        }
    };
    timeout(within, both).await.context("the flood stalls")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2_frames::headers;

    #[tokio::test]
    async fn frames_are_read_as_they_are_written() {
        let bytes = [
            headers(5, flag::END_STREAM, &[(":status", "200")]),
            ping(0, 7),
        ]
        .concat();
        let mut reader = FrameReader {
            stream: &bytes[..],
            buffer: BytesMut::new(),
        };
        let head = reader.next().await.unwrap();
        assert_eq!((head.kind, head.flags, head.stream), (kind::HEADERS, 5, 5));
        assert_eq!(head.payload[..], b"\0\x07:status\x03200"[..]);
        assert_eq!(
            reader.next().await.unwrap().acknowledgement(),
            Some(ping(flag::ACK, 7))
        );
        assert!(reader.next().await.is_none());
    }
}
