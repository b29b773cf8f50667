//! Writes container images as archives, without a container engine.
//!
//! An archive is an OCI image layout that also carries docker's
//! `manifest.json`, as `docker save` writes it: `docker load`, `kind load
//! image-archive`, `ctr images import`, podman and skopeo read it.
//!
//! ```no_run
//! # fn example() -> Result<(), image_archive::Error> {
//! use image_archive::{Attributes, Config, Content, Image, Layer};
//! use std::path::Path;
//!
//! let mut layer = Layer::new();
//! layer.file("usr/bin/tool", Content::File("target/tool".into()), 0o755)?;
//! layer.file("etc/tool.conf", "quiet = true\n", 0o644)?;
//! layer.directory("var/lib/tool", Attributes::from(0o700).owned_by(65532, 65532))?;
//! layer.symlink("bin", "usr/bin")?;
//! layer.tree(Path::new("share"), "usr/share/tool")?;
//! let image = Image {
//!     reference: "example/tool:1.0".parse()?,
//!     config: Config {
//!         user: "65532:65532".to_owned(),
//!         entrypoint: vec!["/usr/bin/tool".to_owned()],
//!         ..Config::default()
//!     },
//!     layers: vec![layer],
//!     time: image_archive::source_date_epoch(),
//! };
//! let written = image.write(Path::new("tool.tar"))?;
//! println!("{} bytes, {}", written.size, written.digest);
//! # Ok(())
//! # }
//! ```
//!
//! The same input gives the same bytes: entries are sorted, times and owners
//! fixed. Layers are not compressed: an archive is for loading on the spot, and
//! whatever pushes it to a registry compresses them; so the bytes hang on no
//! compressor's version. Memory is bounded: files stream from disk to disk.

mod archive;
mod blob;
mod config;
mod documents;
mod error;
mod image;
mod layer;
mod reference;
mod tree;

pub use blob::Digest;
pub use config::{Architecture, Config};
pub use error::Error;
pub use image::{Image, Written, source_date_epoch};
pub use layer::{Attributes, Content, Layer};
pub use reference::Reference;
