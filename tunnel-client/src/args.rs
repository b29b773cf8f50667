//! The command line, and the validated configuration made from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use http::uri::Authority;
use http_relay::stall_budget::StallBudget;
use rustls_pki_types::ServerName;
use service_kit::proxy::{HttpProxy, Proxy, ProxyVariableError, proxy_for};
use service_kit::telemetry::LogArgs;
use service_kit::tls::{Pin, PinError};
use thiserror::Error;
use tunnel_protocol::ClusterName;
use tunnel_protocol::cluster_name::ClusterNameError;
use tunnel_protocol::limits::LANES;

use crate::backoff::Backoff;
use crate::server_url::{ServerUrl, ServerUrlError};
use crate::token_source::{TokenSource, TokenSourceError};
use crate::trust::{IdentityFiles, TrustSources};

/// Makes a cluster's local port reachable through a tunnel-server, over one
/// outbound TLS connection.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The tunnel-server, like `https://clusters.example.com`, with a path where
    /// something in front serves it below one; dialled through the HTTP proxy that
    /// HTTPS_PROXY or ALL_PROXY names, unless NO_PROXY excepts it.
    /// Given twice, or with a comma, for replicas that have a name each: there is a
    /// link to each of two
    #[arg(
        long,
        env = "TUNNEL_CLIENT_SERVER",
        required = true,
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub server: Vec<String>,
    /// Links at once: one to each of two replicas of the server, and more where those
    /// have 1,000 requests open each
    #[arg(
        long,
        env = "TUNNEL_CLIENT_MAX_LINKS",
        default_value_t = 4,
        value_parser = clap::value_parser!(u8).range(1..=i64::from(LANES)),
        value_name = "COUNT"
    )]
    pub max_links: u8,
    /// For tests: open requests on every link from which on there is another one
    #[arg(long, hide = true, default_value_t = 1_000, value_name = "COUNT")]
    pub busy_requests: u32,
    /// For tests: a link that was added for the load ends when the others could carry
    /// all for so long, milliseconds
    #[arg(long, hide = true, default_value_t = 60_000, value_name = "MS")]
    pub quiet_ms: u64,
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
    /// proxy, too, without --proxy-ca-file. Read again at each attempt
    #[arg(long, env = "TUNNEL_CLIENT_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Certificate authorities to trust for an https proxy, PEM
    #[arg(long, env = "TUNNEL_CLIENT_PROXY_CA_FILE", value_name = "FILE")]
    pub proxy_ca_file: Option<PathBuf>,
    /// A certificate for servers that ask for one, PEM, with what leads to its authority;
    /// a proxy does not get to see it. With --client-key; read again at each attempt
    #[arg(long, env = "TUNNEL_CLIENT_CLIENT_CERTIFICATE", value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// The private key of --client-certificate, PEM
    #[arg(long, env = "TUNNEL_CLIENT_CLIENT_KEY", value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// The SHA-256 of a public key (SPKI) in base64, with sha256// before it or without.
    /// With pins, a certificate of the chain that was verified must have one of them
    /// beside all else: the server's own, an authority's between or the root's, as in
    /// HPKP, where curl looks at the server's own alone. Repeatable, or with a comma
    #[arg(
        long,
        env = "TUNNEL_CLIENT_PIN_SHA256",
        value_delimiter = ',',
        value_name = "HASH"
    )]
    pub pin_sha256: Vec<String>,
    /// The name that the server's certificate must hold, and that it is asked for,
    /// where that is not the URL's
    #[arg(long, env = "TUNNEL_CLIENT_TLS_SERVER_NAME", value_name = "NAME")]
    pub tls_server_name: Option<String>,
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
    /// Each with the proxy that leads there.
    pub(crate) servers: Vec<(ServerUrl, Option<HttpProxy>)>,
    pub(crate) max_links: u8,
    /// Open requests on every link from which on there is to be another.
    pub(crate) busy: i64,
    /// How long the others could carry all before a link that was added is given up.
    pub(crate) quiet: Duration,
    pub(crate) token: TokenSource,
    pub(crate) subdomain: Option<ClusterName>,
    pub(crate) upstream: Authority,
    pub(crate) sidecar_secret_file: Option<PathBuf>,
    pub(crate) trust: TrustSources,
    pub(crate) admin: SocketAddr,
    pub(crate) backoff: Backoff,
    pub(crate) spread: Duration,
    pub(crate) drain: Duration,
    pub(crate) stalls: StallBudget,
}

impl Config {
    /// The servers, for people.
    pub(crate) fn named(&self) -> String {
        let servers = self.servers.iter().map(|(server, _)| server.to_string());
        servers.collect::<Vec<_>>().join(" or ")
    }
}

/// A flag that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// `--server`.
    // Without what was given: that may hold a password.
    #[error("--server: {0}")]
    Server(#[from] ServerUrlError),
    /// `--tls-server-name`.
    #[error("--tls-server-name {0:?}: give a DNS name or an IP address")]
    TlsServerName(String),
    /// `--pin-sha256`.
    #[error("--pin-sha256 {0:?}: {1}")]
    Pin(String, PinError),
    /// One of two.
    #[error("--client-certificate and --client-key go together: give {0}, too")]
    HalfAnIdentity(&'static str),
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

fn identity(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<IdentityFiles>, ConfigError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(IdentityFiles { certificate, key })),
        (Some(_), None) => Err(ConfigError::HalfAnIdentity("--client-key")),
        (None, Some(_)) => Err(ConfigError::HalfAnIdentity("--client-certificate")),
    }
}

fn pin(text: &str) -> Result<Pin, ConfigError> {
    text.parse()
        .map_err(|fault| ConfigError::Pin(text.to_owned(), fault))
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let trust = TrustSources {
            ca_file: args.ca_file,
            proxy_ca_file: args.proxy_ca_file,
            identity: identity(args.client_certificate, args.client_key)?,
            pins: (args.pin_sha256.iter())
                .map(|text| pin(text))
                .collect::<Result<_, _>>()?,
        };
        let tls_name = args.tls_server_name.map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| ConfigError::TlsServerName(name))
        });
        let tls_name = tls_name.transpose()?;
        let servers = args.server.iter().map(|server| {
            let mut server: ServerUrl = server.trim().parse()?;
            if let Some(name) = &tls_name {
                server.tls_name = name.clone();
            }
            let proxy = proxy(&server)?;
            Ok((server, proxy))
        });
        let servers = servers.collect::<Result<_, ConfigError>>()?;
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
            servers,
            max_links: args.max_links,
            busy: args.busy_requests.into(),
            quiet: millis(args.quiet_ms),
            token,
            subdomain: args
                .subdomain
                .as_deref()
                .map(ClusterName::parse)
                .transpose()?,
            upstream: args.upstream,
            sidecar_secret_file: args.sidecar_secret_file,
            trust,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let connector = tunnel_protocol::token::Token::from_random(
            tunnel_protocol::token::TokenKind::Connector,
            &[1; 32],
        );
        std::fs::write(&token, connector.expose()).unwrap();
        let token = token.display().to_string();
        let always = [
            "tunnel-client",
            "--server",
            "a.example",
            "--token-file",
            &token,
        ];
        let args = Args::try_parse_from(always.iter().chain(more)).unwrap();
        Config::try_from(args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_and_its_key_go_together() {
        for (given, missing) in [
            ("--client-certificate", "give --client-key,"),
            ("--client-key", "give --client-certificate,"),
        ] {
            let error = config(&[given, "file"]).unwrap_err();
            assert!(error.contains(missing), "{error}");
        }
        config(&["--client-certificate", "file", "--client-key", "file"]).unwrap();
    }

    #[test]
    fn pins_are_given_one_by_one_or_with_commas() {
        let (one, other) = (Pin::of(b"one"), Pin::of(b"other"));
        let both = format!("{one},{other}");
        let bare = both.replace("sha256//", "");
        for pins in [
            vec!["--pin-sha256", &both],
            vec!["--pin-sha256", &bare],
            vec![
                "--pin-sha256",
                &one.to_string(),
                "--pin-sha256",
                &other.to_string(),
            ],
        ] {
            assert_eq!(config(&pins).unwrap().trust.pins, [one, other], "{pins:?}");
        }
        let error = config(&["--pin-sha256", "sha1//AAAA"]).unwrap_err();
        assert!(error.starts_with("--pin-sha256 \"sha1//AAAA\""), "{error}");
        assert!(error.contains("SHA-256"), "{error}");
    }
}
