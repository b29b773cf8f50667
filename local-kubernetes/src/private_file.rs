//! Files that only their owner may read.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes `content` to `path` with mode 0600, over what may be there.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    try_write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn try_write(path: &Path, content: &str) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // The mode above counts for new files only.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    file.write_all(content.as_bytes())
}
