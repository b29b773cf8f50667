//! Reads whole files, with a bound, and says what is wrong with one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// The most that is read, bytes: a configuration of 100,000 clusters has 16 MB. What
/// is larger is another file, or one that something fills.
pub const LARGEST: u64 = 64 * 1024 * 1024;

/// What is in a file; wiped when it is dropped, as it may be a secret.
pub type Content = Zeroizing<Vec<u8>>;

/// Why a file gives nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path}: {fault}", path = .path.display())]
pub struct FileFault {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is there and holds nothing.
    Empty,
    /// A folder, a pipe, a device.
    NoFile,
    /// More than [`LARGEST`], or what else is the bound.
    TooLarge(u64),
    /// No two looks at it saw the same.
    Unsettled,
    /// The system's word: not there, not allowed.
    Unreadable(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty"),
            Self::NoFile => f.write_str("this is no file"),
            Self::TooLarge(bound) => write!(f, "the file is larger than {bound} bytes"),
            Self::Unsettled => f.write_str("the file changes faster than it can be read"),
            Self::Unreadable(cause) => f.write_str(cause),
        }
    }
}

impl FileFault {
    pub(super) fn new(path: &Path, fault: Fault) -> Self {
        Self {
            path: path.to_owned(),
            fault,
        }
    }
}

/// Reads a file of at most [`LARGEST`] bytes.
///
/// # Errors
/// [`FileFault`]; an empty file is none.
pub fn read(path: &Path) -> Result<Content, FileFault> {
    read_at_most(path, LARGEST)
}

pub(super) fn read_at_most(path: &Path, largest: u64) -> Result<Content, FileFault> {
    let unreadable = |error: io::Error| FileFault::new(path, Fault::Unreadable(error.to_string()));
    // Looked at before it is opened: a pipe would keep us waiting.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileFault::new(path, Fault::NoFile));
    }
    let too_large = || FileFault::new(path, Fault::TooLarge(largest));
    if metadata.len() > largest {
        return Err(too_large());
    }
    let file = File::open(path).map_err(unreadable)?;
    // With room for all of it: what a growing buffer leaves behind is not wiped.
    let room = usize::try_from(metadata.len()).unwrap_or_default() + 1;
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    // It may grow while it is read.
    file.take(largest + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > largest {
        return Err(too_large());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_told_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fault = |path: &Path| read_at_most(path, 3).unwrap_err().fault;
        assert_eq!(fault(folder.path()), Fault::NoFile);
        assert_eq!(fault(Path::new("/dev/zero")), Fault::NoFile);
        let path = folder.path().join("file");
        assert!(matches!(fault(&path), Fault::Unreadable(_)));
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(read_at_most(&path, 3).unwrap().as_slice(), b"abc");
        std::fs::write(&path, "abcd").unwrap();
        assert_eq!(fault(&path), Fault::TooLarge(3));
        // 1 TB that takes no room: it is not read.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(fault(&path), Fault::TooLarge(3));
    }
}
