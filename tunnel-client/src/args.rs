//! The command line, and the validated configuration made from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use http::uri::Authority;
use http_relay::stall_budget::StallBudget;
use service_kit::proxy::{HttpProxy, Proxy, ProxyVariableError, proxy_for};
use service_kit::telemetry::LogArgs;
use thiserror::Error;
use tunnel_protocol::ClusterName;
use tunnel_protocol::cluster_name::ClusterNameError;

use crate::backoff::Backoff;
use crate::server_url::{ServerUrl, ServerUrlError};
use crate::token_source::{TokenSource, TokenSourceError};

/// Makes a cluster's local port reachable through a tunnel-server, over one
/// outbound TLS connection.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The tunnel-server, like `https://clusters.example.com`; dialled through the
    /// HTTP proxy that HTTPS_PROXY or ALL_PROXY names, unless NO_PROXY excepts it
    #[arg(long, env = "TUNNEL_CLIENT_SERVER", value_name = "URL")]
    pub server: String,
    /// The file that holds the connector token; without it, the environment's
    /// CULVERT_CONNECTOR_TOKEN
    #[arg(long, env = "TUNNEL_CLIENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The name you expect your cluster to have; the token decides, this checks
    #[arg(long, env = "TUNNEL_CLIENT_SUBDOMAIN", value_name = "NAME")]
    pub subdomain: Option<String>,
    /// Where requests go: proxy-sidecar or kubectl proxy
    #[arg(
        long,
        env = "TUNNEL_CLIENT_UPSTREAM",
        default_value = "127.0.0.1:8001",
        value_name = "HOST:PORT"
    )]
    pub upstream: Authority,
    /// The file in which proxy-sidecar leaves the secret that it asks for, as its
    /// --secret-file; waited for
    #[arg(long, env = "TUNNEL_CLIENT_SIDECAR_SECRET_FILE", value_name = "FILE")]
    pub sidecar_secret_file: Option<PathBuf>,
    /// Certificate authorities to trust instead of the system's, PEM; for an https
    /// proxy, too
    #[arg(long, env = "TUNNEL_CLIENT_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The address of /livez, /readyz and /metrics
    #[arg(
        long,
        env = "TUNNEL_CLIENT_ADMIN_ADDRESS",
        default_value = "0.0.0.0:8003"
    )]
    pub admin_address: SocketAddr,
    /// Shortest wait between attempts, milliseconds, before jitter
    #[arg(
        long,
        env = "TUNNEL_CLIENT_RECONNECT_BASE_MS",
        default_value_t = 250,
        value_name = "MS"
    )]
    pub reconnect_base_ms: u64,
    /// Longest wait between attempts, milliseconds
    #[arg(
        long,
        env = "TUNNEL_CLIENT_RECONNECT_CAP_MS",
        default_value_t = 30_000,
        value_name = "MS"
    )]
    pub reconnect_cap_ms: u64,
    /// After a link is lost, the first attempt comes within this time,
    /// milliseconds; it keeps a thousand clients from coming at once
    #[arg(
        long,
        env = "TUNNEL_CLIENT_RECONNECT_SPREAD_MS",
        default_value_t = 5_000,
        value_name = "MS"
    )]
    pub reconnect_spread_ms: u64,
    /// How long open requests may go on after SIGTERM, seconds
    #[arg(
        long,
        env = "TUNNEL_CLIENT_DRAIN_SECONDS",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub drain_seconds: u64,
    /// What streams whose readers take nothing may hold in memory, MiB. Beyond it
    /// the longest blocked are cut, and new ones get 503
    #[arg(
        long,
        env = "TUNNEL_CLIENT_STALLED_MIB",
        default_value_t = 80,
        value_parser = clap::value_parser!(u64).range(1..=1 << 20),
        value_name = "MIB"
    )]
    pub stalled_mib: u64,
    /// Worker threads; 1 runs everything on one
    #[arg(
        long,
        env = "TUNNEL_CLIENT_WORKER_THREADS",
        default_value_t = 1,
        value_name = "COUNT"
    )]
    pub worker_threads: usize,
    /// How to log
    #[command(flatten)]
    pub log: LogArgs,
}

/// What the connector is built from.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) server: ServerUrl,
    pub(crate) proxy: Option<HttpProxy>,
    pub(crate) token: TokenSource,
    pub(crate) subdomain: Option<ClusterName>,
    pub(crate) upstream: Authority,
    pub(crate) sidecar_secret_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) admin: SocketAddr,
    pub(crate) backoff: Backoff,
    pub(crate) spread: Duration,
    pub(crate) drain: Duration,
    pub(crate) stalls: StallBudget,
}

/// A flag that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// `--server`.
    // Without what was given: that may hold a password.
    #[error("--server: {0}")]
    Server(#[from] ServerUrlError),
    /// `HTTPS_PROXY` and its like.
    #[error(transparent)]
    Proxy(#[from] ProxyVariableError),
    /// It is a SOCKS proxy.
    #[error(
        "{0} is not a kind of proxy that tunnel-client goes through: give an http or https URL"
    )]
    Socks(String),
    /// `--subdomain`.
    #[error("--subdomain: {0}")]
    Subdomain(#[from] ClusterNameError),
    /// `--upstream`.
    #[error("--upstream {0:?}: give a host and a port, like 127.0.0.1:8001")]
    Upstream(String),
    /// `--token-file`.
    #[error(transparent)]
    Token(#[from] TokenSourceError),
}

/// The first that is set and not empty counts, as for curl.
const PROXY_VARIABLES: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

fn proxy(server: &ServerUrl) -> Result<Option<HttpProxy>, ConfigError> {
    let uri = server.to_string().parse();
    let uri = uri.map_err(|_| ConfigError::Server(ServerUrlError::NotAUrl))?;
    let found = proxy_for(&uri, PROXY_VARIABLES, |name| {
        Some(std::env::var_os(name)?.to_string_lossy().into_owned())
    })?;
    match found {
        None => Ok(None),
        Some(Proxy::Http(proxy)) => Ok(Some(proxy)),
        Some(socks) => Err(ConfigError::Socks(socks.to_string())),
    }
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let server = args.server.parse()?;
        let proxy = proxy(&server)?;
        if args.upstream.port().is_none() {
            return Err(ConfigError::Upstream(args.upstream.to_string()));
        }
        let token = args
            .token_file
            .map_or(TokenSource::Environment, TokenSource::File);
        // A missing or damaged token is told now, not at the first attempt.
        token.read()?;
        let millis = Duration::from_millis;
        Ok(Self {
            server,
            proxy,
            token,
            subdomain: args
                .subdomain
                .as_deref()
                .map(ClusterName::parse)
                .transpose()?,
            upstream: args.upstream,
            sidecar_secret_file: args.sidecar_secret_file,
            ca_file: args.ca_file,
            admin: args.admin_address,
            backoff: Backoff::new(
                millis(args.reconnect_base_ms),
                millis(args.reconnect_cap_ms),
            ),
            spread: millis(args.reconnect_spread_ms),
            drain: Duration::from_secs(args.drain_seconds),
            // All links lead to one cluster, so one may take all of it.
            stalls: StallBudget::new(args.stalled_mib << 20, args.stalled_mib << 20),
        })
    }
}
