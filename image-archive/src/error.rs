//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Why an archive was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an image's name with a tag.
    #[error("{0:?} is no image name with a tag, like example/tool:1.0")]
    Reference(String),
    /// A path that leads nowhere or out of the image.
    #[error("{} cannot be a path in an image", .0.display())]
    Path(PathBuf),
    /// Two entries of a layer have one path.
    #[error("{} is in the layer already", .0.display())]
    Taken(PathBuf),
    /// An entry lies below one that is no folder.
    #[error("{} lies below {}, which is no folder", path.display(), above.display())]
    Below {
        /// The entry.
        path: PathBuf,
        /// What it lies below.
        above: PathBuf,
    },
    /// A device, a socket, a pipe.
    #[error("{} is neither file, folder nor symbolic link", .0.display())]
    Kind(PathBuf),
    /// Fewer or more bytes came than the file had.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// A file that goes into the image could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
