//! The command line, and the validated configuration made from it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use service_kit::telemetry::LogArgs;
use thiserror::Error;

use crate::filter::{Filter, FilterError, Protection, ProtectionError};

/// kubectl proxy in Rust: serves the Kubernetes API on a local port, with the
/// credential of the pod's service account or of a kubeconfig.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The port on which to run the proxy; 0 picks a free one
    #[arg(short, long, env = "PROXY_SIDECAR_PORT", default_value_t = 8001)]
    pub port: u16,
    /// The IP address on which to serve
    #[arg(long, env = "PROXY_SIDECAR_ADDRESS", default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// The kubeconfig to use; without it `$KUBECONFIG`, `~/.kube/config`, then
    /// the pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Hosts that are accepted: regular expressions, separated by commas
    #[arg(
        long,
        value_name = "REGEXPS",
        default_value = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$"
    )]
    pub accept_hosts: String,
    /// Paths that are accepted: regular expressions, separated by commas
    #[arg(long, value_name = "REGEXPS", default_value = "^.*")]
    pub accept_paths: String,
    /// Paths that are refused even where --accept-paths accepts them
    #[arg(
        long,
        value_name = "REGEXPS",
        default_value = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"
    )]
    pub reject_paths: String,
    /// HTTP methods that are refused: regular expressions, separated by commas
    #[arg(long, value_name = "REGEXPS", default_value = "^$")]
    pub reject_methods: String,
    /// Refuse nothing by the flags above; this is dangerous, as any web page can then
    /// call the API, unless --secret-file keeps it out
    #[arg(long)]
    pub disable_filter: bool,
    /// Keep callers out of these namespaces, and from the Secrets of all namespaces
    /// at once, whatever the filter accepts and the role allows
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',')]
    pub protect_namespaces: Vec<String>,
    /// Refuse tokens of service accounts (`serviceaccounts/*/token`), whatever the
    /// filter accepts and the role allows
    #[arg(long)]
    pub reject_token_requests: bool,
    /// Answer only requests with the secret in this file, which is made if it is
    /// not there; tunnel-client reads it with --sidecar-secret-file
    #[arg(long, env = "PROXY_SIDECAR_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Replace a caller's own Authorization by this proxy's
    #[arg(long)]
    pub require_own_credential: bool,
    /// The address of /livez, /readyz and /metrics
    #[arg(
        long,
        env = "PROXY_SIDECAR_ADMIN_ADDRESS",
        default_value = "0.0.0.0:8002"
    )]
    pub admin_address: SocketAddr,
    /// How long open requests may go on after SIGTERM, seconds
    #[arg(
        long,
        env = "PROXY_SIDECAR_DRAIN_SECONDS",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub drain_seconds: u64,
    /// Worker threads; 1 runs everything on one
    #[arg(
        long,
        env = "PROXY_SIDECAR_WORKER_THREADS",
        default_value_t = 1,
        value_name = "COUNT"
    )]
    pub worker_threads: usize,
    /// How to log
    #[command(flatten)]
    pub log: LogArgs,
}

/// What the sidecar is built from.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) filter: Option<Filter>,
    pub(crate) protection: Option<Protection>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) require_own_credential: bool,
    pub(crate) drain: Duration,
}

/// A flag that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
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
        Ok(Self {
            listen: SocketAddr::new(args.address, args.port),
            admin: args.admin_address,
            kubeconfig: args.kubeconfig,
            context: args.context,
            filter,
            protection: Protection::new(args.protect_namespaces, args.reject_token_requests)?,
            secret_file: args.secret_file,
            require_own_credential: args.require_own_credential,
            drain: Duration::from_secs(args.drain_seconds),
        })
    }
}
