//! A layer: the files that an image is made of.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::{Error, tree};

/// Where a file's content comes from.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file on disk, read when the archive is written.
    File(PathBuf),
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

/// An entry's permissions and owner; a bare mode belongs to root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    mode: u32,
    user: u64,
    group: u64,
}

impl Attributes {
    /// Owned by this user and group.
    #[must_use]
    pub fn owned_by(self, user: u32, group: u32) -> Self {
        Self {
            user: user.into(),
            group: group.into(),
            ..self
        }
    }
}

impl From<u32> for Attributes {
    fn from(mode: u32) -> Self {
        Self {
            mode: mode & 0o7777,
            user: 0,
            group: 0,
        }
    }
}

const PARENT_MODE: u32 = 0o755;

#[derive(Clone, Debug)]
enum Kind {
    Folder,
    File(Content),
    Link(PathBuf),
}

/// A layer of an image. Paths are the image's, with or without `/` in front;
/// folders that lead to an entry are made where they are missing, with mode 0755.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: BTreeMap<PathBuf, (Kind, Attributes)>,
}

impl Layer {
    /// A layer without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Taken`], [`Error::Below`].
    pub fn file(
        &mut self,
        path: impl AsRef<Path>,
        content: impl Into<Content>,
        attributes: impl Into<Attributes>,
    ) -> Result<(), Error> {
        let kind = Kind::File(content.into());
        self.add(path.as_ref(), kind, attributes.into())
    }

    /// Adds a folder, or gives one that is there other attributes.
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Taken`], [`Error::Below`].
    pub fn directory(
        &mut self,
        path: impl AsRef<Path>,
        attributes: impl Into<Attributes>,
    ) -> Result<(), Error> {
        self.add(path.as_ref(), Kind::Folder, attributes.into())
    }

    /// Adds a symbolic link; its target is taken as it is.
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Taken`], [`Error::Below`].
    pub fn symlink(
        &mut self,
        path: impl AsRef<Path>,
        target: impl Into<PathBuf>,
    ) -> Result<(), Error> {
        let kind = Kind::Link(target.into());
        self.add(path.as_ref(), kind, Attributes::from(0o777))
    }

    /// Adds all that is in a folder of this machine, below a path of the image
    /// (`""` for its root): with the permissions that it has here, but owned by
    /// root. Symbolic links stay links, hard links become files, extended
    /// attributes are left out.
    ///
    /// # Errors
    /// Those of the other functions, [`Error::Read`] and [`Error::Kind`].
    pub fn tree(&mut self, folder: &Path, below: impl AsRef<Path>) -> Result<(), Error> {
        tree::add(self, folder, below.as_ref())
    }

    /// The paths of all entries, sorted, folders that lead to them included.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.entries.keys().map(PathBuf::as_path)
    }

    fn add(&mut self, path: &Path, kind: Kind, attributes: Attributes) -> Result<(), Error> {
        let path = relative(path)?;
        self.lead_to(&path)?;
        match self.entries.entry(path) {
            Slot::Vacant(slot) => {
                slot.insert((kind, attributes));
            }
            Slot::Occupied(mut slot) => match (&slot.get().0, &kind) {
                (Kind::Folder, Kind::Folder) => {
                    slot.insert((kind, attributes));
                }
                _ => return Err(Error::Taken(slot.key().clone())),
            },
        }
        Ok(())
    }

    fn lead_to(&mut self, path: &Path) -> Result<(), Error> {
        let above = path.ancestors().skip(1);
        for above in above.filter(|above| *above != Path::new("")) {
            match self.entries.get(above) {
                None => {
                    let folder = (Kind::Folder, Attributes::from(PARENT_MODE));
                    self.entries.insert(above.to_owned(), folder);
                }
                // What leads to a folder is there since the folder was added.
                Some((Kind::Folder, _)) => break,
                Some(_) => {
                    return Err(Error::Below {
                        path: path.to_owned(),
                        above: above.to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Writes the layer as tar; `to` is where to, for errors.
    pub(crate) fn write(&self, writer: impl Write, to: &Path, time: u64) -> Result<(), Error> {
        let mut tar = Builder::new(writer);
        for (path, (kind, attributes)) in &self.entries {
            let mut header = header(*attributes, time);
            match kind {
                Kind::Folder => {
                    header.set_entry_type(EntryType::Directory);
                    // With "/" at its end, as tar and the engines write folders.
                    tar.append_data(&mut header, path.join(""), io::empty())
                        .map_err(Error::write(to))?;
                }
                Kind::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    tar.append_link(&mut header, path, target)
                        .map_err(Error::write(to))?;
                }
                Kind::File(Content::Bytes(bytes)) => {
                    header.set_size(bytes.len() as u64);
                    tar.append_data(&mut header, path, bytes.as_slice())
                        .map_err(Error::write(to))?;
                }
                Kind::File(Content::File(source)) => {
                    append_file(&mut tar, header, path, source, to)?;
                }
            }
        }
        tar.finish().map_err(Error::write(to))
    }
}

fn append_file(
    tar: &mut Builder<impl Write>,
    mut header: Header,
    path: &Path,
    source: &Path,
    to: &Path,
) -> Result<(), Error> {
    let file = File::open(source).map_err(Error::read(source))?;
    let metadata = file.metadata().map_err(Error::read(source))?;
    if !metadata.is_file() {
        return Err(Error::Kind(source.to_owned()));
    }
    let size = metadata.len();
    header.set_size(size);
    // One byte more would show that the file has grown.
    let mut content = file.take(size + 1);
    tar.append_data(&mut header, path, &mut content)
        .map_err(Error::write(to))?;
    if content.limit() == 1 {
        Ok(())
    } else {
        Err(Error::Changed(source.to_owned()))
    }
}

fn header(attributes: Attributes, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(attributes.mode);
    header.set_uid(attributes.user);
    header.set_gid(attributes.group);
    header.set_mtime(time);
    header.set_size(0);
    header
}

fn relative(path: &Path) -> Result<PathBuf, Error> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::Path(path.to_owned()));
            }
        }
    }
    if relative == Path::new("") {
        return Err(Error::Path(path.to_owned()));
    }
    Ok(relative)
}
