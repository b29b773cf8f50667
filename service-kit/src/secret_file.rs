//! Tells when a file that holds a secret is for others to read, or one that decides
//! who may do what for others to write.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Everybody but the owner and the group, which in a pod is the pod's own.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// What was told: a file is looked at whenever it is read.
static TOLD: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// Warns of a file with a secret that others may read or replace; again only after
/// it was mended.
pub fn warn_if_open(path: &Path) {
    look(path, OTHERS_READ | OTHERS_WRITE);
}

/// Warns of a file that others may change.
pub fn warn_if_writable(path: &Path) {
    look(path, OTHERS_WRITE);
}

fn look(path: &Path, never: u32) {
    // A file that is not there is told by whoever reads it.
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let fault = fault(&metadata, never);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    match fault {
        None => drop(told.remove(path)),
        Some(fault) if told.insert(path.to_owned()) => {
            let mode = format!("{:04o}", metadata.permissions().mode() & 0o7777);
            tracing::warn!(
                file = %path.display(), mode,
                "{fault}; take that right from all but its owner and group, as with chmod o="
            );
        }
        Some(_) => {}
    }
}

fn fault(metadata: &Metadata, never: u32) -> Option<&'static str> {
    let open = metadata.permissions().mode() & never;
    if open & OTHERS_READ != 0 {
        Some("anybody on this machine may read this file, which holds a secret")
    } else if open & OTHERS_WRITE != 0 {
        Some("anybody on this machine may change this file")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn only_others_are_too_many() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fault = |mode, never| {
            let open = file.as_file();
            open.set_permissions(Permissions::from_mode(mode)).unwrap();
            super::fault(&open.metadata().unwrap(), never)
        };
        for mode in [0o400, 0o600, 0o440, 0o660, 0o640, 0o1440] {
            assert_eq!(fault(mode, OTHERS_READ | OTHERS_WRITE), None, "{mode:o}");
        }
        for mode in [0o644, 0o444, 0o604, 0o777] {
            let told = fault(mode, OTHERS_READ | OTHERS_WRITE).unwrap();
            assert!(told.contains("read"), "{mode:o}");
        }
        assert!(
            fault(0o602, OTHERS_READ | OTHERS_WRITE)
                .unwrap()
                .contains("change")
        );
        assert_eq!(fault(0o644, OTHERS_WRITE), None);
        assert!(fault(0o666, OTHERS_WRITE).is_some());
    }
}
