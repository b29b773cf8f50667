//! An image, and how it becomes an archive.

use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::blob::Blob;
use crate::{Config, Digest, Error, Layer, Reference, documents};

/// An image that is to be written.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name and tag.
    pub reference: Reference,
    /// How it is run.
    pub config: Config,
    /// Its files, the lowest layer first.
    pub layers: Vec<Layer>,
    /// When it and its files were made, in seconds since 1970; 0 where it must
    /// hang on nothing but its content.
    pub time: u64,
}

/// An archive that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The archive.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The image's digest: that of its OCI manifest.
    pub digest: Digest,
    /// What docker calls the image's id: the digest of its configuration.
    pub id: Digest,
}

impl Image {
    /// Writes the archive. What is at `path` is replaced at the end, at once.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Changed`] and [`Error::Kind`] of a layer's file,
    /// [`Error::Write`] of the archive.
    pub fn write(&self, path: &Path) -> Result<Written, Error> {
        let layers = self
            .layers
            .iter()
            .map(|layer| Blob::on_disk(path, |to| layer.write(to, path, self.time)))
            .collect::<Result<Vec<_>, Error>>()?;
        let document = |json: serde_json::Result<Vec<u8>>| {
            json.map_err(|error| Error::write(path)(error.into()))
        };
        let config = document(documents::config(&self.config, &layers, self.time))?;
        let config = Blob::in_memory(config);
        let manifest = Blob::in_memory(document(documents::manifest(&config, &layers))?);
        let index = document(documents::index(&manifest, &self.config, &self.reference))?;
        let (id, digest) = (config.digest.clone(), manifest.digest.clone());
        let docker = document(documents::docker_manifest(&id, &layers, &self.reference))?;

        let mut archive = Archive::create(path, self.time)?;
        let mut blobs = layers;
        blobs.extend([config, manifest]);
        archive.blobs(blobs)?;
        archive.file("index.json", &index)?;
        archive.file("manifest.json", &docker)?;
        archive.file("oci-layout", documents::LAYOUT.as_bytes())?;
        Ok(Written {
            path: path.to_owned(),
            size: archive.finish()?,
            digest,
            id,
        })
    }
}

/// The time in the variable `SOURCE_DATE_EPOCH`, or else 0.
#[must_use]
pub fn source_date_epoch() -> u64 {
    std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|time| time.parse().ok())
        .unwrap_or(0)
}
