//! Every environment variable that this crate reads.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A folder with ready-made `kube-apiserver`, `etcd` and `kubectl`: the
/// convention of controller tests everywhere.
pub(crate) const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Where built binaries are kept, instead of the user's cache folder.
const CACHE: &str = "CULVERT_CACHE_DIR";

/// A node image for kind to use, instead of the published one.
pub(crate) const NODE_IMAGE: &str = "CULVERT_NODE_IMAGE";

/// The value of `CULVERT_NODE_IMAGE`, if it is set and not empty.
pub(crate) fn node_image() -> Option<String> {
    text(NODE_IMAGE)
}

/// The value of docker's `DOCKER_HOST`, if it is set and not empty.
pub(crate) fn docker_host() -> Option<String> {
    text("DOCKER_HOST")
}

/// The value of `KUBEBUILDER_ASSETS`, if it is set and not empty.
pub(crate) fn assets() -> Option<PathBuf> {
    folder(ASSETS)
}

/// The folder for what is built once and kept outside the checkout:
/// `$CULVERT_CACHE_DIR`, else `$XDG_CACHE_HOME/culvert`, else
/// `~/.cache/culvert`.
///
/// # Errors
/// If neither is set.
pub fn cache_folder() -> Result<PathBuf> {
    folder(CACHE)
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("culvert")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/culvert")))
        .with_context(|| format!("no cache folder: set {CACHE} or HOME"))
}

/// The file that `name` stands for on the `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn text(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
