//! Which API server, and with what trust and credential: kube-client's reading
//! of the kubeconfig, or the pod's service account, and the flags above them.

mod flags;
mod in_pod;

use std::path::PathBuf;

use http::Uri;
use kube::Config as KubeConfig;
use kube::config::{Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError};
use service_kit::secret_file;
use thiserror::Error;

use crate::args::ClusterArgs;

pub use flags::FlagsError;
pub use in_pod::InPodError;

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
    /// The flags, above what the kubeconfig says.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// Nothing was named and nothing was found.
    #[error(
        "no cluster: name a kubeconfig with --kubeconfig, or run in a pod with its service account \
         mounted ({kubeconfig}; {in_pod})",
        kubeconfig = without_content(.kubeconfig)
    )]
    NotFound {
        /// Why there is no kubeconfig.
        kubeconfig: Box<KubeconfigError>,
        /// Why there is no service account.
        in_pod: InPodError,
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

/// Reads the configuration: what the flags say, above the kubeconfig's, or the pod's.
///
/// # Errors
/// [`ClusterError`].
pub(crate) async fn load(args: &ClusterArgs) -> Result<KubeConfig, ClusterError> {
    let mut config = match args.kubeconfig.as_deref() {
        Some(path) => {
            let failed = |cause| ClusterError::Kubeconfig {
                path: path.to_owned(),
                cause: Box::new(cause),
            };
            secret_file::warn_if_open(path);
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            from_kubeconfig(kubeconfig, args).await.map_err(failed)?
        }
        None => inferred(args).await?,
    };
    flags::apply(&mut config, args)?;
    // A proxy must not retry: the caller decides, and bodies are streams.
    config.default_retry = false;
    Ok(config)
}

/// `$KUBECONFIG` or `~/.kube/config`, else the pod's service account. Whoever
/// names a part of a kubeconfig or sets the variable means one.
async fn inferred(args: &ClusterArgs) -> Result<KubeConfig, ClusterError> {
    let names_part = args.context.is_some() || args.cluster.is_some() || args.user.is_some();
    let variable = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let failed = |cause| ClusterError::Kubeconfig {
        path: variable.clone().unwrap_or("~/.kube/config".into()).into(),
        cause: Box::new(cause),
    };
    // Several may be named, as in PATH.
    let named = variable.iter().flat_map(std::env::split_paths);
    named.for_each(|path| secret_file::warn_if_open(&path));
    match Kubeconfig::read() {
        Ok(kubeconfig) => from_kubeconfig(kubeconfig, args).await.map_err(failed),
        Err(cause) if names_part || variable.is_some() => Err(failed(cause)),
        Err(_) if args.server.is_some() => Ok(KubeConfig::new(Uri::default())),
        Err(cause) => in_pod::config().map_err(|in_pod| ClusterError::NotFound {
            kubeconfig: Box::new(cause),
            in_pod,
        }),
    }
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    args: &ClusterArgs,
) -> Result<KubeConfig, KubeconfigError> {
    if args.server.is_some() && names_nothing(&kubeconfig, args) {
        return Ok(KubeConfig::new(Uri::default()));
    }
    let cluster = named_cluster(&kubeconfig, args)
        .cloned()
        .unwrap_or_default();
    let options = KubeConfigOptions {
        context: args.context.clone(),
        cluster: args.cluster.clone(),
        user: args.user.clone(),
    };
    let mut config = KubeConfig::from_custom_kubeconfig(kubeconfig, &options).await?;
    // kube-client takes only the content; we re-read the file. Inline data wins over it.
    let ca_file = cluster.certificate_authority.map(PathBuf::from);
    config.root_cert_file = ca_file.filter(|_| cluster.certificate_authority_data.is_none());
    // There the environment's is in it, too, and `NO_PROXY` read in another way.
    let proxy_url = cluster.proxy_url.filter(|url| !url.is_empty());
    let proxy_url = proxy_url.map(|url| url.parse()).transpose();
    config.proxy_url = proxy_url.map_err(KubeconfigError::ParseProxyUrl)?;
    Ok(config)
}

/// Neither does such a kubeconfig itself, and the flags have to say all.
fn names_nothing(kubeconfig: &Kubeconfig, args: &ClusterArgs) -> bool {
    let current = kubeconfig.current_context.as_deref().unwrap_or_default();
    current.is_empty() && args.context.is_none() && args.cluster.is_none() && args.user.is_none()
}

fn named_cluster<'a>(kubeconfig: &'a Kubeconfig, args: &ClusterArgs) -> Option<&'a Cluster> {
    let context = args
        .context
        .as_ref()
        .or(kubeconfig.current_context.as_ref());
    let contexts = kubeconfig.contexts.iter();
    let name = args.cluster.as_deref().or_else(|| {
        let context = contexts
            .into_iter()
            .find(|one| Some(&one.name) == context)?;
        Some(context.context.as_ref()?.cluster.as_str())
    })?;
    let clusters = kubeconfig.clusters.iter();
    let cluster = clusters.into_iter().find(|one| one.name == name)?;
    cluster.cluster.as_ref()
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
