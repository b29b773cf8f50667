//! Folders that are filled once and are whole or absent, also when two
//! processes want them at once or one is killed while it fills.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder `root/key` with the files `names`. If it is not there,
/// `fill` is given an empty folder to put the files into.
///
/// One process fills at a time; the others wait until it is done, and say so
/// through `progress`. What a killed one has left behind is removed.
///
/// # Errors
/// If `fill` fails or leaves a file out, or if the cache cannot be written.
pub fn whole_folder(
    root: &Path,
    key: &str,
    names: &[&str],
    progress: &dyn Fn(&str),
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = root.join(key);
    if is_whole(&folder, names) {
        return Ok(folder);
    }
    fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    let _lock = lock(&root.join(format!("{key}.lock")), progress)?;
    if is_whole(&folder, names) {
        return Ok(folder);
    }
    let partial = format!("{key}.partial-");
    remove_partial(root, &partial)?;
    let filling = tempfile::Builder::new().prefix(&partial).tempdir_in(root)?;
    fill(filling.path())?;
    if let Some(missing) = missing(filling.path(), names) {
        bail!("{missing} was not made");
    }
    if folder.exists() {
        // Somebody has removed files from it by hand.
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(filling.keep(), &folder)?;
    Ok(folder)
}

/// The first of `names` that is no file in `folder`.
pub(crate) fn missing<'a>(folder: &Path, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .find(|name| !folder.join(name).is_file())
        .copied()
}

fn is_whole(folder: &Path, names: &[&str]) -> bool {
    missing(folder, names).is_none()
}

/// Held until the file is dropped; a killed process loses it, too.
pub(crate) fn lock(path: &Path, progress: &dyn Fn(&str)) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress(&format!(
                "waiting for another process that holds {}",
                path.display()
            ));
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(file)
}

fn remove_partial(root: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const NAMES: [&str; 2] = ["a", "b"];

    fn quiet(_: &str) {}

    fn fill_both(folder: &Path) -> Result<()> {
        for name in NAMES {
            fs::write(folder.join(name), name)?;
        }
        Ok(())
    }

    fn folders(root: &Path) -> Vec<String> {
        fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn it_is_filled_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = whole_folder(root.path(), "k", &NAMES, &quiet, fill_both).unwrap();
        assert_eq!(fs::read(folder.join("b")).unwrap(), b"b");
        let again = whole_folder(root.path(), "k", &NAMES, &quiet, |_| {
            panic!("it is there already")
        });
        assert_eq!(again.unwrap(), folder);
    }

    #[test]
    fn a_failed_fill_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let failed = whole_folder(root.path(), "k", &NAMES, &quiet, |folder| {
            fs::write(folder.join("a"), "a")?;
            bail!("no more")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(folders(root.path()), [""; 0]);
    }

    #[test]
    fn an_incomplete_fill_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let incomplete = whole_folder(root.path(), "k", &NAMES, &quiet, |folder| {
            Ok(fs::write(folder.join("a"), "a")?)
        });
        assert_eq!(incomplete.unwrap_err().to_string(), "b was not made");
        assert_eq!(folders(root.path()), [""; 0]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_not_used() {
        let root = tempfile::tempdir().unwrap();
        let left = root.path().join("k.partial-x");
        fs::create_dir(&left).unwrap();
        fill_both(&left).unwrap();
        let other = root.path().join("other.partial-x");
        fs::create_dir(&other).unwrap();
        whole_folder(root.path(), "k", &NAMES, &quiet, fill_both).unwrap();
        assert!(!left.exists());
        assert!(other.exists(), "the lock of `k` does not guard it");
    }

    #[test]
    fn a_folder_that_lost_a_file_is_filled_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = whole_folder(root.path(), "k", &NAMES, &quiet, fill_both).unwrap();
        fs::remove_file(folder.join("a")).unwrap();
        whole_folder(root.path(), "k", &NAMES, &quiet, fill_both).unwrap();
        assert!(folder.join("a").is_file());
    }

    #[test]
    fn the_second_waits_for_the_first_and_uses_what_it_made() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let (filling, is_filling) = mpsc::channel();
        let (waiting, is_waiting) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                whole_folder(root, "k", &NAMES, &quiet, |folder| {
                    filling.send(()).unwrap();
                    // Not done before the other one is seen to wait.
                    is_waiting.recv().unwrap();
                    fill_both(folder)
                })
                .unwrap();
            });
            is_filling.recv().unwrap();
            let says = move |line: &str| {
                assert!(line.starts_with("waiting for another process"), "{line}");
                waiting.send(()).unwrap();
            };
            whole_folder(root, "k", &NAMES, &says, |_| panic!("the first one fills")).unwrap();
        });
    }
}
