//! Content that is named by its digest.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// The SHA-256 of a blob; shown as `sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    fn of(hash: Sha256) -> Self {
        Self(HEXLOWER.encode(&hash.finalize()))
    }

    /// Its path in an image layout.
    pub(crate) fn path(&self) -> String {
        format!("blobs/sha256/{}", self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Where a blob's bytes are.
#[derive(Debug)]
pub(crate) enum Bytes {
    Memory(Vec<u8>),
    Disk(File),
}

/// Content, its digest and its size.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) bytes: Bytes,
}

impl Blob {
    pub(crate) fn in_memory(bytes: Vec<u8>) -> Self {
        Self {
            digest: Digest::of(Sha256::new_with_prefix(&bytes)),
            size: bytes.len() as u64,
            bytes: Bytes::Memory(bytes),
        }
    }

    /// A blob in an unnamed file beside the archive; `fill` writes it.
    pub(crate) fn on_disk(
        archive: &Path,
        fill: impl FnOnce(&mut Hashing) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let folder = archive.parent().unwrap_or(Path::new(""));
        let file =
            tempfile::tempfile_in(Path::new(".").join(folder)).map_err(Error::write(archive))?;
        let mut hashing = Hashing {
            file: BufWriter::with_capacity(1 << 16, file),
            hash: Sha256::new(),
            size: 0,
        };
        fill(&mut hashing)?;
        hashing.done().map_err(Error::write(archive))
    }
}

/// Counts and hashes what goes into a file.
pub(crate) struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
}

impl Hashing {
    fn done(self) -> io::Result<Blob> {
        let mut file = self.file.into_inner().map_err(|error| error.into_error())?;
        file.rewind()?;
        Ok(Blob {
            digest: Digest::of(self.hash),
            size: self.size,
            bytes: Bytes::Disk(file),
        })
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
