//! What a cluster with pods needs where no image registry can be reached: a node
//! image for kind, built from the public Go modules that the folder `go` pins and
//! from Debian's packages.
//!
//! Where a registry can be reached, none of this is used: kind's published node
//! image is the same thing.

mod go_commands;
mod node_image;
mod node_root;
mod preload;
mod system_images;

pub(crate) use node_image::NodeImage;
