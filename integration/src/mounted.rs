//! Files that change as the kubelet changes those of a volume: each state is a
//! folder of its own, and one link is turned from it to the next.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The link that is turned.
const DATA: &str = "..data";

/// A mounted volume.
pub struct Mounted {
    folder: PathBuf,
    files: BTreeMap<String, String>,
    version: u32,
}

impl Mounted {
    /// Makes the folder with these files.
    pub fn new(folder: PathBuf, files: &[(&str, &str)]) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut mounted = Self {
            folder,
            files: BTreeMap::new(),
            version: 0,
        };
        mounted.change(files)?;
        for (name, _) in files {
            symlink(Path::new(DATA).join(name), mounted.path(name))?;
        }
        Ok(mounted)
    }

    /// Changes these files, and leaves the others as they are.
    pub fn change(&mut self, files: &[(&str, &str)]) -> Result<()> {
        for (name, text) in files {
            self.files.insert((*name).to_owned(), (*text).to_owned());
        }
        let before = self.folder.join(format!("..{}", self.version));
        self.version += 1;
        let name = format!("..{}", self.version);
        fs::create_dir(self.folder.join(&name))?;
        for (file, text) in &self.files {
            let path = self.folder.join(&name).join(file);
            let mut options = File::options();
            let options = options.write(true).create_new(true).mode(0o600);
            options.open(path)?.write_all(text.as_bytes())?;
        }
        let next = self.folder.join("..data_tmp");
        symlink(&name, &next)?;
        fs::rename(&next, self.folder.join(DATA))?;
        if before.exists() {
            fs::remove_dir_all(before)?;
        }
        Ok(())
    }

    /// As whoever reads the file names it.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }
}
