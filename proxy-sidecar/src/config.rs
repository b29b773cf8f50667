//! What the sidecar is built from: the command line, looked at as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::args::{Args, ClusterArgs, DEFAULT_PORT, KeepAlive};
use crate::filter::{Filter, FilterError, Protection, ProtectionError};
use crate::listen::Listen;
use crate::routes::{PrefixError, Routes};

/// What the sidecar is built from.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listen: Listen,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) cluster: ClusterArgs,
    pub(crate) append_server_path: bool,
    pub(crate) keepalive: KeepAlive,
    pub(crate) routes: Routes,
    pub(crate) kubectl_errors: bool,
    pub(crate) www: Option<PathBuf>,
    pub(crate) filter: Option<Filter>,
    pub(crate) protection: Option<Protection>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) require_own_credential: bool,
    pub(crate) drain: Duration,
    pub(crate) worker_threads: usize,
}

/// A flag that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// `--port` beside `--unix-socket`.
    #[error("cannot set --unix-socket and --port at the same time")]
    TwoListeners,
    /// `--api-prefix` or `--www-prefix`.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// Of the filter's.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// `--protect-namespaces`.
    #[error(transparent)]
    Protection(#[from] ProtectionError),
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let filter = (!args.disable_filter)
            .then(|| {
                Filter::new(
                    &args.accept_hosts,
                    &args.accept_paths,
                    &args.reject_paths,
                    &args.reject_methods,
                )
            })
            .transpose()?;
        let www_prefix = args.www.as_ref().map(|_| args.www_prefix.as_str());
        let protection = Protection::new(args.protect_namespaces, args.reject_token_requests)?;
        // At the end of a tunnel the API server gets the paths that callers sent; and
        // what protects namespaces is to judge them as they are.
        let clean = args.secret_file.is_none() && protection.is_none();
        Ok(Self {
            listen: listen(args.unix_socket, args.address, args.port)?,
            admin: args.admin_address,
            cluster: args.cluster.without_empty(),
            append_server_path: args.append_server_path,
            keepalive: args.keepalive,
            routes: Routes::new(&args.api_prefix, www_prefix, clean)?,
            kubectl_errors: args.kubectl_errors,
            www: args.www,
            filter,
            protection,
            secret_file: args.secret_file,
            require_own_credential: args.require_own_credential,
            drain: Duration::from_secs(args.drain_seconds),
            worker_threads: args.worker_threads,
        })
    }
}

fn listen(socket: Option<PathBuf>, address: String, port: i64) -> Result<Listen, ConfigError> {
    match socket.filter(|path| !path.as_os_str().is_empty()) {
        Some(_) if port != DEFAULT_PORT => Err(ConfigError::TwoListeners),
        Some(path) => Ok(Listen::Unix(path)),
        None => Ok(Listen::Tcp { address, port }),
    }
}
