//! The folder of one control plane.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

const PREFIX: &str = "culvert-kubernetes-";
const LOCK: &str = "lock";

/// A new folder below the system's one for temporary files. Dropping it
/// removes it.
///
/// A program that is killed cannot do that, so each folder holds a file that
/// is locked while its owner lives, and who makes a folder removes those that
/// nobody holds any more. Each may be 100 MB.
pub(crate) struct DataFolder {
    folder: TempDir,
    _held: File,
}

impl DataFolder {
    pub(crate) fn new() -> Result<Self> {
        Self::new_in(&env::temp_dir())
    }

    fn new_in(parent: &Path) -> Result<Self> {
        remove_abandoned(parent);
        // Another process may take a folder that is not locked yet for an
        // abandoned one: then a second one is made.
        for _ in 0..3 {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(parent)
                .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
            let lock = folder.path().join(LOCK);
            if let Ok(held) = File::create(&lock)
                && held.try_lock().is_ok()
                && lock.exists()
            {
                return Ok(Self {
                    folder,
                    _held: held,
                });
            }
        }
        bail!("cannot lock a new folder in {}", parent.display());
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Best effort: what cannot be removed is somebody else's, and does no harm.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_folders_go_and_held_ones_stay() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join("culvert-kubernetes-old");
        fs::create_dir(&abandoned).unwrap();
        File::create(abandoned.join(LOCK)).unwrap();
        let foreign = parent.path().join("something-else");
        fs::create_dir(&foreign).unwrap();
        File::create(foreign.join(LOCK)).unwrap();

        let held = DataFolder::new_in(parent.path()).unwrap();
        let second = DataFolder::new_in(parent.path()).unwrap();

        assert!(!abandoned.exists());
        assert!(foreign.exists());
        assert!(held.path().exists());
        assert_ne!(held.path(), second.path());
    }
}
