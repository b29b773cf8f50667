//! Where our own binaries are: beside the test that runs, as cargo builds them.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// A folder with the binaries, instead of cargo's own.
const FOLDER: &str = "CULVERT_BIN_DIR";

/// One of our binaries.
pub fn culvert(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os(FOLDER) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let mut folder = std::env::current_exe()?;
            folder.pop();
            if folder.ends_with("deps") {
                folder.pop();
            }
            folder
        }
    };
    let path = folder.join(name);
    if !path.is_file() {
        bail!(
            "{} is not there: run `cargo build --workspace --bins` first, or `cargo xtask test`",
            path.display()
        );
    }
    Ok(path)
}
