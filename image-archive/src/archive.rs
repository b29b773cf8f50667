//! The outer archive: blobs and the documents that name them.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

use crate::Error;
use crate::blob::{Blob, Bytes};

pub(crate) struct Archive {
    path: PathBuf,
    tar: Builder<BufWriter<NamedTempFile>>,
    time: u64,
}

impl Archive {
    /// Starts an archive, beside the path that it will have.
    pub(crate) fn create(path: &Path, time: u64) -> Result<Self, Error> {
        let folder = Path::new(".").join(path.parent().unwrap_or(Path::new("")));
        let file = tempfile::Builder::new()
            // For others to read, as far as the umask allows.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(Error::write(path))?;
        Ok(Self {
            path: path.to_owned(),
            tar: Builder::new(BufWriter::with_capacity(1 << 16, file)),
            time,
        })
    }

    /// Adds all blobs, each once.
    pub(crate) fn blobs(&mut self, mut blobs: Vec<Blob>) -> Result<(), Error> {
        blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        blobs.dedup_by(|a, b| a.digest == b.digest);
        self.folder("blobs/")?;
        self.folder("blobs/sha256/")?;
        for blob in blobs {
            let path = blob.digest.path();
            match blob.bytes {
                Bytes::Memory(bytes) => self.file(&path, &bytes)?,
                Bytes::Disk(file) => self.stream(&path, blob.size, file)?,
            }
        }
        Ok(())
    }

    fn folder(&mut self, path: &str) -> Result<(), Error> {
        let mut header = self.header(EntryType::Directory, 0o755, 0);
        self.tar
            .append_data(&mut header, path, io::empty())
            .map_err(Error::write(&self.path))
    }

    /// Adds a file with these bytes.
    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.stream(path, bytes.len() as u64, bytes)
    }

    fn stream(&mut self, path: &str, size: u64, content: impl Read) -> Result<(), Error> {
        let mut header = self.header(EntryType::Regular, 0o644, size);
        self.tar
            .append_data(&mut header, path, content)
            .map_err(Error::write(&self.path))
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_size(size);
        header
    }

    /// Puts the archive in its place and returns its size.
    pub(crate) fn finish(self) -> Result<u64, Error> {
        let Self { path, tar, .. } = self;
        persist(tar, &path).map_err(Error::write(&path))
    }
}

fn persist(tar: Builder<BufWriter<NamedTempFile>>, path: &Path) -> io::Result<u64> {
    let file: File = tar
        .into_inner()?
        .into_inner()
        .map_err(|error| error.into_error())?
        .persist(path)?;
    Ok(file.metadata()?.len())
}
