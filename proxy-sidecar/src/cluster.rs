//! Which API server, and with what trust and credential: kube-client's reading
//! of the kubeconfig or of the pod's service account.

use std::path::{Path, PathBuf};

use kube::Config as KubeConfig;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use service_kit::secret_file;
use thiserror::Error;

/// Why there is no cluster to call.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The named kubeconfig cannot be used.
    #[error("kubeconfig {path}: {cause}", path = .path.display(), cause = without_content(.cause))]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: Box<KubeconfigError>,
    },
    /// Nothing was named and nothing was found.
    #[error(
        "no cluster: name a kubeconfig with --kubeconfig, or run in a pod with its service account \
         mounted ({kubeconfig}; {in_cluster})",
        kubeconfig = without_content(.kubeconfig)
    )]
    NotFound {
        /// Why there is no kubeconfig.
        kubeconfig: Box<KubeconfigError>,
        /// Why there is no service account.
        in_cluster: InClusterError,
    },
}

/// The YAML reader's own words show the lines around a fault, where tokens stand.
fn without_content(error: &KubeconfigError) -> String {
    let KubeconfigError::Parse(error) = error else {
        return error.to_string();
    };
    match error.location() {
        Some(at) => format!(
            "it is no kubeconfig: the fault is in line {}, column {}",
            at.line(),
            at.column()
        ),
        None => "it is no kubeconfig".to_owned(),
    }
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
        Some(path) => {
            let failed = |cause| ClusterError::Kubeconfig {
                path: path.to_owned(),
                cause: Box::new(cause),
            };
            secret_file::warn_if_open(path);
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            from_kubeconfig(kubeconfig, context).await.map_err(failed)?
        }
        None => inferred(context).await?,
    };
    // A proxy must not retry: the caller decides, and bodies are streams.
    config.default_retry = false;
    Ok(config)
}

/// `$KUBECONFIG` or `~/.kube/config`, else the pod's service account. Whoever
/// names a context or sets the variable means a kubeconfig.
async fn inferred(context: Option<&str>) -> Result<KubeConfig, ClusterError> {
    let variable = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let failed = |cause| ClusterError::Kubeconfig {
        path: variable.clone().unwrap_or("~/.kube/config".into()).into(),
        cause: Box::new(cause),
    };
    // Several may be named, as in PATH.
    let named = variable.iter().flat_map(std::env::split_paths);
    named.for_each(|path| secret_file::warn_if_open(&path));
    match Kubeconfig::read() {
        Ok(kubeconfig) => from_kubeconfig(kubeconfig, context).await.map_err(failed),
        Err(cause) if context.is_some() || variable.is_some() => Err(failed(cause)),
        Err(cause) => KubeConfig::incluster().map_err(|in_cluster| ClusterError::NotFound {
            kubeconfig: Box::new(cause),
            in_cluster,
        }),
    }
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    context: Option<&str>,
) -> Result<KubeConfig, KubeconfigError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_with_faults_shows_nothing_of_itself() {
        for text in [
            "users: [{name: a, user: {token: the-secret}}]\nclusters: [ the-secret",
            "users: [{name: a, user: {token: [the-secret]}}]",
            "users: the-secret",
            "the-secret",
        ] {
            let cause = Box::new(Kubeconfig::from_yaml(text).unwrap_err());
            let told = ClusterError::Kubeconfig {
                path: "a".into(),
                cause,
            };
            let told = told.to_string();
            assert!(!told.contains("the-secret"), "{told}");
            assert!(
                told.starts_with("kubeconfig a: it is no kubeconfig"),
                "{told}"
            );
        }
    }
}
