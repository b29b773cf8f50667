//! Bytes that cannot be guessed, and the sum of what arrived.

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const CHUNK: usize = 64 << 10;

/// How much it was, and its CRC-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
}

/// A number of random bytes, never held whole.
pub(crate) struct Payload {
    bytes: u64,
    random: StdRng,
}

impl Payload {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            random: StdRng::seed_from_u64(bytes),
        }
    }

    pub(crate) async fn write_to(mut self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<Sum> {
        let mut crc = crc32fast::Hasher::new();
        let mut chunk = vec![0; CHUNK];
        let mut left = self.bytes;
        while left > 0 {
            let part = &mut chunk[..CHUNK.min(usize::try_from(left)?)];
            self.random.fill_bytes(part);
            crc.update(part);
            writer.write_all(part).await?;
            left -= part.len() as u64;
        }
        writer.flush().await?;
        Ok(Sum {
            bytes: self.bytes,
            crc: crc.finalize(),
        })
    }
}

/// Reads to the end.
pub(crate) async fn read_payload(mut reader: impl AsyncRead + Unpin) -> Result<Sum> {
    let mut crc = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = reader.read(&mut chunk).await?;
        if read == 0 {
            return Ok(Sum {
                bytes,
                crc: crc.finalize(),
            });
        }
        crc.update(&chunk[..read]);
        bytes += read as u64;
    }
}
