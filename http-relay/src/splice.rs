//! Joins an upgraded connection with a stream's two bodies, both ways at once.
//! The end of one direction is passed on as a half-close; a failure of either
//! ends both.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tunnel_protocol::limits::WRITE_STALL;

use crate::body::{Meter, RelayError, error_chain};
use crate::body_channel::BodyWriter;
use crate::directions::{Direction, both};
use crate::stall_budget::{Stall, StreamHandle};
use crate::until_refused::UntilRefused;

/// Read buffer of one upgraded connection, bytes: a terminal needs a few, and a
/// copy fills frames of this size. Thousands may be open.
const CHUNK: usize = 16 * 1024;

/// Counts of the two directions.
#[derive(Debug, Default)]
pub struct SpliceMeters {
    /// From the connection to the stream.
    pub outgoing: Arc<Meter>,
    /// From the stream to the connection.
    pub incoming: Arc<Meter>,
}

/// Each direction's part of a budget for streams that stand still, if it has one.
#[derive(Debug, Default)]
pub struct SpliceStalls {
    /// From the connection to the stream.
    pub outgoing: Option<Stall>,
    /// From the stream to the connection: the stream is a body that the budget holds.
    pub incoming: Option<StreamHandle>,
}

/// Runs until both directions have ended or one has failed.
///
/// # Errors
/// [`RelayError`] of the direction that failed; the other one is cut.
pub async fn splice<I, B>(
    io: I,
    incoming: B,
    outgoing: BodyWriter,
    meters: &SpliceMeters,
    stalls: &SpliceStalls,
) -> Result<(), RelayError>
where
    I: AsyncRead + AsyncWrite,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let (reader, writer) = tokio::io::split(io);
    let sending = Direction {
        run: read_into(reader, outgoing, &meters.outgoing, stalls.outgoing.as_ref()),
        // A body's reader that is gone has reset its stream, and both directions fail.
        refused: None,
    };
    let refused = Notify::new();
    let writer = UntilRefused::new(writer, &refused);
    let held = stalls.incoming.as_ref();
    let receiving = Direction {
        run: write_from(incoming, writer, &meters.incoming, held),
        refused: Some(&refused),
    };
    // On a failure the other half is dropped: its writer cuts the body.
    both(sending, receiving).await
}

/// Waits for a write, blocked meanwhile.
async fn during<F: Future>(stall: Option<&Stall>, write: F) -> Result<F::Output, RelayError> {
    match stall {
        Some(stall) => stall.during(write).await,
        None => Ok(write.await),
    }
}

async fn cut(held: Option<&StreamHandle>) -> &'static str {
    match held {
        Some(held) => held.cut().await,
        None => std::future::pending().await,
    }
}

async fn read_into<R: AsyncRead + Unpin>(
    mut reader: R,
    outgoing: BodyWriter,
    meter: &Meter,
    stall: Option<&Stall>,
) -> Result<(), RelayError> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let read = tokio::select! {
            read = reader.read_buf(&mut buffer) => read,
            // Nobody reads any more: do not wait for the peer's next byte.
            () = outgoing.closed() => return Err(RelayError::Ended("the stream's reader is gone")),
        };
        match read {
            Ok(0) => {
                meter.finish();
                return outgoing
                    .finish()
                    .await
                    .map_err(|_| RelayError::Ended("the stream's reader is gone"));
            }
            Ok(count) => {
                meter.add(count as u64);
                let send = outgoing.send(buffer.split().freeze());
                if during(stall, send).await?.is_err() {
                    return Err(RelayError::Ended("the stream's reader is gone"));
                }
            }
            Err(error) => {
                let error = RelayError::cut(&error);
                outgoing.cut(error.clone()).await;
                return Err(error);
            }
        }
    }
}

async fn write_from<B, W>(
    mut incoming: B,
    mut writer: W,
    meter: &Meter,
    held: Option<&StreamHandle>,
) -> Result<(), RelayError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
    W: AsyncWrite + Unpin,
{
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| RelayError::Cut(error_chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        meter.add(data.remaining() as u64);
        let write = async {
            writer.write_all(&data).await?;
            writer.flush().await
        };
        let written = tokio::select! {
            biased;
            written = tokio::time::timeout(WRITE_STALL, write) => written,
            reason = cut(held) => return Err(RelayError::Ended(reason)),
        };
        match written {
            Ok(written) => written.map_err(|error| RelayError::cut(&error))?,
            Err(_) => return Err(RelayError::Ended("a write made no progress")),
        }
    }
    meter.finish();
    writer
        .shutdown()
        .await
        .map_err(|error| RelayError::cut(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body_channel::channel;
    use crate::loopback::pair;
    use tokio::io::duplex;

    #[tokio::test]
    async fn each_direction_ends_by_itself() {
        let (peer, io) = duplex(64);
        let (to_io, incoming) = channel();
        let (outgoing, from_io) = channel();
        let meters = SpliceMeters::default();
        let test = async {
            let (mut read, mut write) = tokio::io::split(peer);
            write.write_all(b"ping").await.unwrap();
            write.shutdown().await.unwrap();
            // The peer has half-closed, and the other direction still works.
            assert_eq!(from_io.collect().await.unwrap().to_bytes(), "ping");
            to_io.send(Bytes::from_static(b"pong")).await.unwrap();
            to_io.finish().await.unwrap();
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"pong");
        };
        let stalls = SpliceStalls::default();
        let (spliced, ()) = tokio::join!(splice(io, incoming, outgoing, &meters, &stalls), test);
        spliced.unwrap();
        assert_eq!((meters.outgoing.bytes(), meters.incoming.bytes()), (4, 4));
    }

    #[tokio::test]
    async fn what_a_sidecar_had_sent_arrives_whatever_the_caller_still_says() {
        let (io, mut sidecar) = pair().await;
        let (to_io, incoming) = channel();
        let (outgoing, from_io) = channel();
        let (meters, stalls) = (SpliceMeters::default(), SpliceStalls::default());
        let test = async {
            sidecar.write_all(&[7; 32 << 10]).await.unwrap();
            // It reads no more: its system answers the caller's bytes with a reset.
            drop(sidecar);
            for _ in 0..64 {
                to_io.send(Bytes::from_static(b"ping")).await.unwrap();
            }
            let got = from_io.collect().await.unwrap().to_bytes();
            assert_eq!(got.len(), 32 << 10);
            to_io.finish().await.unwrap();
        };
        let splice = splice(io, incoming, outgoing, &meters, &stalls);
        let (spliced, ()) = tokio::join!(splice, test);
        spliced.unwrap();
    }

    #[tokio::test]
    async fn a_cut_of_one_direction_cuts_the_other() {
        let (_peer, io) = duplex(64);
        let (to_io, incoming) = channel();
        let (outgoing, from_io) = channel();
        to_io.cut(RelayError::Ended("test")).await;
        let meters = SpliceMeters::default();
        let stalls = SpliceStalls::default();
        let spliced = splice(io, incoming, outgoing, &meters, &stalls);
        assert!(spliced.await.is_err());
        assert!(from_io.collect().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_progress_ends() {
        let (_peer, io) = duplex(1);
        let (to_io, incoming) = channel();
        to_io
            .send(Bytes::from_static(b"more than fits"))
            .await
            .unwrap();
        let (_, writer) = tokio::io::split(io);
        let result = write_from(incoming, writer, &Meter::default(), None).await;
        assert!(matches!(result, Err(RelayError::Ended(_))));
    }
}
