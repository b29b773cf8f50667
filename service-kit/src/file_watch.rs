//! Notices that a file's content has changed, by looking: it works the same on
//! every file system, and through the symbolic links that Kubernetes swaps.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::fs;
use tokio::time::sleep;

/// Time between two looks. With [`SETTLE`] it keeps a change well under the
/// second in which a revocation has to act.
const LOOK: Duration = Duration::from_millis(200);

/// Two reads this far apart must agree, so that no half-written file is taken.
const SETTLE: Duration = Duration::from_millis(50);

/// Watches one file.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    content: Vec<u8>,
    seen: Option<Stamp>,
}

/// What changes when a file is written or replaced; cheaper than its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    inode: u64,
    len: u64,
}

impl FileWatch {
    /// Watches `path`, whose content now is `content`.
    #[must_use]
    pub fn new(path: &Path, content: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            content,
            seen: None,
        }
    }

    /// Waits for other content that is not empty and stays the same for a moment.
    /// Missing and unreadable files are no change: the last good content stays.
    ///
    /// Cancel safe.
    pub async fn changed(&mut self) -> &[u8] {
        loop {
            let stamp = stamp(&self.path).await;
            if stamp.is_some()
                && stamp != self.seen
                && let Some(content) = self.settled().await
            {
                // Not before the content was read: a write in between shows again.
                self.seen = stamp;
                if content != self.content {
                    self.content = content;
                    return &self.content;
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn settled(&self) -> Option<Vec<u8>> {
        let first = fs::read(&self.path)
            .await
            .ok()
            .filter(|content| !content.is_empty())?;
        if first == self.content {
            return Some(first);
        }
        sleep(SETTLE).await;
        let second = fs::read(&self.path).await.ok()?;
        (first == second).then_some(first)
    }
}

async fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).await.ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        inode: metadata.ino(),
        len: metadata.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_rewrite_is_seen_and_an_empty_or_missing_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::new(&path, b"one".to_vec());
        std::fs::write(&path, "").unwrap();
        assert!(timeout(LOOK * 3, watch.changed()).await.is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(timeout(LOOK * 3, watch.changed()).await.is_err());
        std::fs::write(&path, "two").unwrap();
        assert_eq!(timeout(SOON, watch.changed()).await.unwrap(), b"two");
    }

    #[tokio::test]
    async fn a_swapped_symbolic_link_is_seen_as_kubernetes_swaps_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, content) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("file"), content).unwrap();
        }
        std::os::unix::fs::symlink("v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/file", at("file")).unwrap();
        let mut watch = FileWatch::new(&at("file"), b"one".to_vec());
        std::os::unix::fs::symlink("v2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(timeout(SOON, watch.changed()).await.unwrap(), b"two");
    }
}
