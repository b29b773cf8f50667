//! Takes over a folder of this machine.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use crate::{Content, Error, Layer};

pub(crate) fn add(layer: &mut Layer, folder: &Path, below: &Path) -> Result<(), Error> {
    for found in WalkDir::new(folder).min_depth(1) {
        let found = found.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            Error::read(&path)(io::Error::from(error))
        })?;
        add_entry(layer, folder, below, &found)?;
    }
    Ok(())
}

fn add_entry(
    layer: &mut Layer,
    folder: &Path,
    below: &Path,
    found: &DirEntry,
) -> Result<(), Error> {
    let source = found.path();
    let inside = source
        .strip_prefix(folder)
        .map_err(|_| Error::Path(source.to_owned()))?;
    let path = below.join(inside);
    let metadata = fs::symlink_metadata(source).map_err(Error::read(source))?;
    let mode = metadata.permissions().mode();
    if metadata.is_dir() {
        layer.directory(path, mode)
    } else if metadata.is_symlink() {
        layer.symlink(path, fs::read_link(source).map_err(Error::read(source))?)
    } else if metadata.is_file() {
        layer.file(path, Content::File(source.to_owned()), mode)
    } else {
        Err(Error::Kind(source.to_owned()))
    }
}
