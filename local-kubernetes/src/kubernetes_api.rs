//! A Kubernetes API for the demo: one that was named, or one of our own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{Binaries, ControlPlane, Options, environment};

/// Where a Kubernetes API can be reached.
pub enum KubernetesApi {
    /// One that runs already.
    Named {
        /// The kubeconfig that was named.
        kubeconfig: PathBuf,
        /// The installed kubectl.
        kubectl: PathBuf,
    },
    /// One that was started for the purpose and ends with this value.
    Own(Box<ControlPlane>),
}

/// The Kubernetes API that `named_kubeconfig` leads to; without one, a new
/// [`ControlPlane`].
///
/// `progress` is given lines as in [`Binaries::obtain`].
///
/// # Errors
/// If the file is missing or no kubectl is installed to go with it; else as
/// for [`Binaries::obtain`] and [`ControlPlane::start`].
pub async fn obtain(
    named_kubeconfig: Option<PathBuf>,
    progress: impl Fn(&str) + Send + 'static,
) -> Result<KubernetesApi> {
    if let Some(kubeconfig) = named_kubeconfig {
        if !kubeconfig.is_file() {
            bail!("there is no kubeconfig at {}", kubeconfig.display());
        }
        let kubectl = environment::on_path("kubectl")
            .context("kubectl is not on the PATH: install it to use a kubeconfig of your own")?;
        return Ok(KubernetesApi::Named {
            kubeconfig,
            kubectl,
        });
    }
    let binaries = tokio::task::spawn_blocking(move || Binaries::obtain(&progress)).await??;
    let control_plane = ControlPlane::start(&binaries, Options::default()).await?;
    Ok(KubernetesApi::Own(Box::new(control_plane)))
}

impl KubernetesApi {
    /// The kubeconfig file to reach it with.
    pub fn kubeconfig(&self) -> &Path {
        match self {
            Self::Named { kubeconfig, .. } => kubeconfig,
            Self::Own(control_plane) => control_plane.admin_kubeconfig(),
        }
    }

    /// The path of kubectl.
    pub fn kubectl(&self) -> &Path {
        match self {
            Self::Named { kubectl, .. } => kubectl,
            Self::Own(control_plane) => control_plane.kubectl(),
        }
    }

    /// Stops what was started. One that was named is left alone.
    ///
    /// # Errors
    /// As for [`ControlPlane::stop`].
    pub async fn stop(self) -> Result<()> {
        match self {
            Self::Named { .. } => Ok(()),
            Self::Own(control_plane) => control_plane.stop().await,
        }
    }
}
