//! Where the binaries come from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::go_commands::{CONTROL_PLANE, GoCommand, HELM_COMMAND, KIND_COMMAND, cache_key};
use crate::{cache, environment, go_build};

const KUBE_APISERVER: &str = "kube-apiserver";
const ETCD: &str = "etcd";
const KUBECTL: &str = "kubectl";
const ALL: [&str; 3] = [KUBE_APISERVER, ETCD, KUBECTL];

/// The paths of the commands that make a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The API server's store.
    pub etcd: PathBuf,
    /// The command-line client.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// The binaries in `KUBEBUILDER_ASSETS` if that is set, else those in the
    /// cache, which is filled first if need be by building them from their
    /// public Go modules.
    ///
    /// The cache is `$CULVERT_CACHE_DIR`, else `$XDG_CACHE_HOME/culvert`, else
    /// `~/.cache/culvert`, with a folder for each combination of versions. Two
    /// processes may call this at once: the second waits for the first.
    ///
    /// Blocks, for minutes if it builds; `progress` is then given a line at
    /// least every 10 seconds.
    ///
    /// # Errors
    /// If `KUBEBUILDER_ASSETS` is set and lacks a binary, if Go is missing or
    /// too old, or if a build fails. The message says what to do.
    pub fn obtain(progress: &dyn Fn(&str)) -> Result<Self> {
        if let Some(folder) = environment::assets() {
            return Self::in_assets(&folder);
        }
        Ok(Self::at(&built(&CONTROL_PLANE, progress)?))
    }

    fn in_assets(folder: &Path) -> Result<Self> {
        if let Some(name) = cache::missing(folder, &ALL) {
            bail!(
                "{} is set to {}, but there is no {name} in it",
                environment::ASSETS,
                folder.display()
            );
        }
        Ok(Self::at(folder))
    }

    fn at(folder: &Path) -> Self {
        // The control plane runs in a folder of its own.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self {
            kube_apiserver: folder.join(KUBE_APISERVER),
            etcd: folder.join(ETCD),
            kubectl: folder.join(KUBECTL),
        }
    }
}

/// The path of `kind`, which makes clusters whose nodes are containers; built
/// once, like [`Binaries::obtain`].
///
/// # Errors
/// As there.
pub fn obtain_kind(progress: &dyn Fn(&str)) -> Result<PathBuf> {
    Ok(built(&KIND_COMMAND, progress)?.join("kind"))
}

/// The path of `helm`, which installs charts; built once, like
/// [`Binaries::obtain`].
///
/// # Errors
/// As there.
pub fn obtain_helm(progress: &dyn Fn(&str)) -> Result<PathBuf> {
    Ok(built(&HELM_COMMAND, progress)?.join("helm"))
}

/// The folder in the cache that holds `commands`, which are built if need be.
pub(crate) fn built(commands: &[GoCommand], progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let root = environment::cache_folder()?.join("binaries");
    let names: Vec<&str> = commands.iter().map(|command| command.name).collect();
    let key = cache_key(commands)?;
    let folder = cache::whole_folder(&root, &key, &names, progress, |folder| {
        go_build::build_all(commands, folder, progress)
    })?;
    // Who runs them may do so in a folder of its own.
    Ok(std::path::absolute(&folder).unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn assets_must_hold_all_binaries() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(KUBE_APISERVER), "").unwrap();
        fs::write(folder.path().join(ETCD), "").unwrap();
        let error = Binaries::in_assets(folder.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("KUBEBUILDER_ASSETS is set to "),
            "{error}"
        );
        assert!(error.ends_with("there is no kubectl in it"), "{error}");

        fs::write(folder.path().join(KUBECTL), "").unwrap();
        let binaries = Binaries::in_assets(folder.path()).unwrap();
        assert_eq!(binaries.kubectl, folder.path().join(KUBECTL));
    }

    #[test]
    fn every_binary_is_built() {
        assert_eq!(CONTROL_PLANE.each_ref().map(|command| command.name), ALL);
    }
}
