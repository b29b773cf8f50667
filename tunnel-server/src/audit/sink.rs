//! Where lines go: standard output, or a file that another program may move away.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use thiserror::Error;

use super::Log;

/// Who called what is for few to read.
const MODE: u32 = 0o600;
/// How long a pipe may be full before that is told as a failure.
const PIPE_FULL: Duration = Duration::from_secs(1);
/// Between two looks at a pipe that is full.
const PIPE_LOOK: Duration = Duration::from_millis(10);

/// The log cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file.
    #[error("--audit-log {path}: {cause}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Standard output.
    #[error("--audit-log -: {0}")]
    Stdout(io::Error),
    /// The system gives no thread.
    #[error("no thread for the audit log: {0}")]
    Thread(io::Error),
}

/// An open log.
pub(super) struct Sink {
    file: File,
    /// Nothing for standard output, which nobody moves.
    path: Option<PathBuf>,
}

/// Lines on their way. What was written of them is not written again, except a
/// line that was cut when the file changed.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    written: usize,
    lines: u64,
}

impl Batch {
    pub(super) fn push(&mut self, line: &impl serde::Serialize) {
        let start = self.bytes.len();
        // Only maps whose keys are no texts cannot be written: there are none.
        if serde_json::to_writer(&mut self.bytes, line).is_ok() {
            self.bytes.push(b'\n');
            self.lines += 1;
        } else {
            self.bytes.truncate(start);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.written, self.lines) = (0, 0);
    }

    /// A file that is begun gets whole lines.
    fn back_to_line_start(&mut self) {
        let written = &self.bytes[..self.written];
        let end = written.iter().rposition(|byte| *byte == b'\n');
        self.written = end.map_or(0, |end| end + 1);
    }
}

impl Sink {
    pub(super) fn open(log: &Log) -> Result<Self, OpenError> {
        match log {
            Log::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                Ok(Self {
                    file: stdout.map_err(OpenError::Stdout)?.into(),
                    path: None,
                })
            }
            Log::File(path) => {
                let file = open(path).map_err(|cause| OpenError::File {
                    path: path.clone(),
                    cause,
                })?;
                Ok(Self {
                    file,
                    path: Some(path.clone()),
                })
            }
        }
    }

    /// Opens the file anew if another one is at its path, or none.
    pub(super) fn follow(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let held = identity(self.file.metadata()?);
        if std::fs::metadata(path).is_ok_and(|found| identity(found) == held) {
            return Ok(());
        }
        self.file = open(path)?;
        batch.back_to_line_start();
        Ok(())
    }

    /// Writes what is left of a batch.
    pub(super) fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.follow(batch)?;
        let mut progress = Instant::now();
        while batch.written < batch.bytes.len() {
            match self.file.write(&batch.bytes[batch.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    batch.written += count;
                    progress = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && progress.elapsed() < PIPE_FULL =>
                {
                    thread::sleep(PIPE_LOOK);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Without waiting: a named pipe that nobody reads is an error, not a wait.
fn open(path: &Path) -> io::Result<File> {
    let without_waiting = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(MODE)
        .custom_flags(without_waiting)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::default();
        lines.iter().for_each(|line| batch.push(line));
        batch
    }

    #[test]
    fn it_appends_and_follows_a_file_that_was_moved() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        std::fs::write(&path, "before\n").unwrap();
        let mut sink = Sink::open(&Log::File(path.clone())).unwrap();
        sink.write(&mut batch(&["one"])).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        sink.write(&mut batch(&["two"])).unwrap();
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(
            (read(&moved), read(&path)),
            ("before\n\"one\"\n".into(), "\"two\"\n".into())
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_line_that_was_cut_is_whole_in_the_next_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut sink = Sink::open(&Log::File(path.clone())).unwrap();
        let mut batch = batch(&["one", "two"]);
        // As if the disk had been full in the second line.
        batch.written = 8;
        std::fs::remove_file(&path).unwrap();
        sink.write(&mut batch).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"two\"\n");
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let mut sink = Sink::open(&Log::File("/dev/full".into())).unwrap();
        let mut batch = batch(&["one"]);
        let error = sink.write(&mut batch).unwrap_err();
        assert_eq!(
            (error.kind(), batch.written),
            (io::ErrorKind::StorageFull, 0)
        );
        let error = Sink::open(&Log::File("/nowhere/log".into())).err().unwrap();
        assert!(error.to_string().starts_with("--audit-log /nowhere/log: "));
    }
}
