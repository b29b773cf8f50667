//! Which API server, and with what trust and credential: kube-client's reading
//! of the kubeconfig or of the pod's service account.

use std::path::{Path, PathBuf};

use kube::Config as KubeConfig;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;

/// Why there is no cluster to call.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The named kubeconfig cannot be used.
    #[error("kubeconfig {path}: {cause}", path = .path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: Box<KubeconfigError>,
    },
    /// Nothing was named and nothing was found.
    #[error(
        "no cluster: name a kubeconfig with --kubeconfig, or run in a pod with its service account mounted ({0})"
    )]
    NotFound(Box<InferConfigError>),
}

/// Reads the configuration.
///
/// # Errors
/// [`ClusterError`].
pub(crate) async fn load(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<KubeConfig, ClusterError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path, context)
            .await
            .map_err(|cause| ClusterError::Kubeconfig {
                path: path.to_owned(),
                cause: Box::new(cause),
            })?,
        None => KubeConfig::infer()
            .await
            .map_err(|error| ClusterError::NotFound(Box::new(error)))?,
    };
    // A proxy must not retry: the caller decides, and bodies are streams.
    config.default_retry = false;
    Ok(config)
}

async fn from_file(path: &Path, context: Option<&str>) -> Result<KubeConfig, KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let ca_file = ca_file(&kubeconfig, context);
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..Default::default()
    };
    let mut config = KubeConfig::from_custom_kubeconfig(kubeconfig, &options).await?;
    // kube-client re-reads a file named here; from a kubeconfig it takes only
    // the content.
    config.root_cert_file = ca_file;
    Ok(config)
}

fn ca_file(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<PathBuf> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig
        .contexts
        .iter()
        .find(|one| one.name == name)?
        .context
        .as_ref()?;
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|one| one.name == context.cluster)?
        .cluster
        .as_ref()?;
    // Inline data wins over the file.
    if cluster.certificate_authority_data.is_some() {
        return None;
    }
    cluster.certificate_authority.as_ref().map(PathBuf::from)
}
