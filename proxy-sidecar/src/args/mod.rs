//! The command line: kubectl proxy's flags, and our own.

mod cluster;
mod go_values;
mod ignored;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use service_kit::telemetry::LogArgs;

pub use cluster::ClusterArgs;
pub use go_values::KeepAlive;
pub use ignored::IgnoredArgs;

/// The only one that `--unix-socket` may stand beside.
pub(crate) const DEFAULT_PORT: i64 = 8001;

/// kubectl proxy in Rust: serves the Kubernetes API on a local port, with the
/// credential of the pod's service account or of a kubeconfig.
#[derive(Clone, Debug, Parser)]
// As in kubectl the last of several wins.
#[command(version, args_override_self = true)]
pub struct Args {
    /// The port on which to run the proxy; 0 picks a free one
    #[arg(
        short,
        long,
        env = "PROXY_SIDECAR_PORT",
        default_value_t = DEFAULT_PORT,
        allow_negative_numbers = true
    )]
    pub port: i64,
    /// The IP address on which to serve; an IPv6 address in brackets
    #[arg(long, env = "PROXY_SIDECAR_ADDRESS", default_value = "127.0.0.1")]
    pub address: String,
    /// Serve on this Unix socket instead of a port
    #[arg(short, long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Serve the API below this path; one that does not begin with /api is taken away
    /// from the paths that the API server is asked for
    #[arg(long, value_name = "PREFIX", default_value = "/")]
    pub api_prefix: String,
    /// Serve the files of this folder, too
    #[arg(short = 'w', long, value_name = "FOLDER")]
    pub www: Option<PathBuf>,
    /// Serve them below this path
    #[arg(short = 'P', long, value_name = "PREFIX", default_value = "/static/")]
    pub www_prefix: String,
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
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_parser = go_values::bool)]
    pub disable_filter: bool,
    /// Time between two probes of quiet upgraded connections to the API server: 0 is
    /// 15s, and less than 0 none
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "0s",
        value_parser = go_values::keep_alive,
        allow_hyphen_values = true
    )]
    pub keepalive: KeepAlive,
    /// Where the kubeconfig's server URL has a path, ask for all below it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_parser = go_values::bool)]
    pub append_server_path: bool,
    /// Which API server
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Answer errors of the proxy's own as kubectl proxy does, in plain text and with 500,
    /// instead of a Kubernetes Status
    #[arg(long)]
    pub kubectl_errors: bool,
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
    /// Replace a caller's own Authorization by this proxy's, and delete its X-Remote-*
    /// headers; its Impersonate-* headers, too, but for requests with --secret-file's secret
    #[arg(long)]
    pub require_own_credential: bool,
    /// The address of /livez, /readyz and /metrics, as in 0.0.0.0:8002; without it
    /// there are none
    #[arg(long, env = "PROXY_SIDECAR_ADMIN_ADDRESS")]
    pub admin_address: Option<SocketAddr>,
    /// How long callers are served after SIGTERM, and open requests go on after SIGINT,
    /// at most, seconds
    #[arg(
        long,
        env = "PROXY_SIDECAR_DRAIN_SECONDS",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub drain_seconds: u64,
    /// Threads that serve, each its part of the connections, and with connections of its
    /// own to the API server; 1 runs everything on one
    #[arg(
        long,
        env = "PROXY_SIDECAR_WORKER_THREADS",
        default_value_t = 2,
        value_name = "COUNT"
    )]
    pub worker_threads: usize,
    /// How to log
    #[command(flatten)]
    pub log: LogArgs,
    /// For nothing
    #[command(flatten)]
    pub ignored: IgnoredArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_line_of_kubectls_is_taken() {
        let line = "proxy-sidecar --port=0 -w ./www -P /files/ --disable-filter --keepalive 30s \
                    --append-server-path=true -s https://a:6443 --as me --as-group a --as-group=b \
                    --username=a --password b --as-user-extra=a=b --as-user-extra a=c \
                    -v 6 --v=7 -n default --request-timeout=0 --warnings-as-errors \
                    --disable-compression=true some words";
        let args = Args::parse_from(line.split_whitespace());
        assert!(args.disable_filter && args.append_server_path);
        assert_eq!(args.cluster.impersonate_groups, ["a", "b"]);
        let extra = [("a", "b"), ("a", "c")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(args.cluster.impersonate_extra, extra);
        assert_eq!(args.www_prefix, "/files/");
        let off = Args::parse_from(["proxy-sidecar", "--disable-filter=false"]);
        assert!(!off.disable_filter);
    }
}
