//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use service_kit::file_watch;
use service_kit::telemetry::LogArgs;
use tunnel_protocol::limits::RESPONSE_HEADERS;
use tunnel_protocol::token::{Token, TokenKind};

use crate::audit::OnFailure;
use crate::config::file;

/// Serves callers a Kubernetes API for each cluster that has a tunnel-client.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Something else than to serve
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve
    #[command(flatten)]
    pub run: RunArgs,
}

/// What needs no server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Checks a configuration file and names every fault
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes a token: prints it, once, and the hash for the configuration file
    New {
        /// Whom it is for
        kind: TokenFor,
    },
}

/// Whom a token is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TokenFor {
    /// A tunnel-client
    Connector,
    /// A caller
    Access,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The configuration file; it is watched
    #[arg(
        long,
        env = "TUNNEL_SERVER_CONFIG",
        value_name = "FILE",
        default_value = "tunnel-server.yaml"
    )]
    pub config: PathBuf,
    /// For development: make a private CA and a certificate in this folder, and
    /// use them
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = "culvert-dev")]
    pub dev: Option<PathBuf>,
    /// Speak HTTP/1.1 without TLS, for a load balancer that ends it: no certificate is
    /// needed, and with --dev the one that is made is for there. See
    /// docs/load-balancers.md
    #[arg(long, env = "TUNNEL_SERVER_PLAIN_HTTP")]
    pub plain_http: bool,
    /// Listen here, too, for HTTP/1.1 without TLS: for a load balancer that ends callers'
    /// TLS, while links come to the file's `listen` over TLS. PROXY protocol is refused
    /// there, whatever the file says
    #[arg(
        long,
        env = "TUNNEL_SERVER_PLAIN_HTTP_LISTEN",
        value_name = "ADDRESS",
        conflicts_with = "plain_http"
    )]
    pub plain_http_listen: Option<SocketAddr>,
    /// How long to go on as before after SIGTERM, but for /readyz, seconds: load
    /// balancers are to send nothing more when the draining begins
    #[arg(
        long,
        env = "TUNNEL_SERVER_SHUTDOWN_DELAY_SECONDS",
        default_value_t = 0,
        value_name = "SECONDS"
    )]
    pub shutdown_delay_seconds: u64,
    /// How long open requests may go on after SIGTERM and that delay, seconds
    #[arg(
        long,
        env = "TUNNEL_SERVER_DRAIN_SECONDS",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub drain_seconds: u64,
    /// How long a cluster may take for its response headers once it has the
    /// whole request, seconds; watches, logs and upgrades may take any time. The
    /// API server itself gives up after 60
    #[arg(
        long,
        env = "TUNNEL_SERVER_RESPONSE_TIMEOUT_SECONDS",
        default_value_t = RESPONSE_HEADERS.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..),
        value_name = "SECONDS"
    )]
    pub response_timeout_seconds: u64,
    /// How long a request waits for the link of its cluster where one was there within
    /// half a minute, or this server has just started, seconds; 0 answers 503 at once
    #[arg(
        long,
        env = "TUNNEL_SERVER_HOLD_SECONDS",
        default_value_t = 5,
        value_name = "SECONDS"
    )]
    pub hold_seconds: u64,
    /// Public connections at once, links among them, where the system allows as many
    /// open files. Further ones wait; half of them at most may be of those who have
    /// not proved who they are
    #[arg(
        long,
        env = "TUNNEL_SERVER_CONNECTIONS",
        default_value_t = 20_000,
        value_parser = clap::value_parser!(u32).range(2..=1 << 20),
        value_name = "COUNT"
    )]
    pub connections: u32,
    /// How long a connection may be open before somebody proves on it who they are,
    /// with a token, seconds
    #[arg(
        long,
        env = "TUNNEL_SERVER_PROVE_SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..),
        value_name = "SECONDS"
    )]
    pub prove_seconds: u64,
    /// Where the audit log goes: a file, which is appended to, or - for standard
    /// output; see docs/audit.md
    #[arg(
        long,
        env = "TUNNEL_SERVER_AUDIT_LOG",
        default_value = "-",
        value_name = "FILE"
    )]
    pub audit_log: PathBuf,
    /// What becomes of requests when the audit log cannot be written: refuse them,
    /// or let them pass and count those whose lines are lost
    #[arg(
        long,
        env = "TUNNEL_SERVER_AUDIT_FAILURE",
        default_value = "refuse",
        value_enum,
        value_name = "WHAT"
    )]
    pub audit_failure: OnFailure,
    /// What streams whose readers take nothing may hold in memory, MiB; half of it
    /// on one link. Beyond it the longest blocked are cut, and new ones get 503
    #[arg(
        long,
        env = "TUNNEL_SERVER_STALLED_MIB",
        default_value_t = 512,
        value_parser = clap::value_parser!(u64).range(1..=1 << 20),
        value_name = "MIB"
    )]
    pub stalled_mib: u64,
    /// How many servers like this one share its hostname. Each connector keeps a link
    /// to two of them where there are more than one
    #[arg(
        long,
        env = "TUNNEL_SERVER_REPLICAS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..),
        value_name = "COUNT"
    )]
    pub replicas: u32,
    /// For tests: a link is replaced by another when so many of its streams were reset
    #[arg(long, hide = true, default_value_t = 250_000, value_name = "COUNT")]
    pub link_resets: usize,
    /// Threads that serve, each its part of the links, and the callers of these; 1 runs everything on one
    #[arg(
        long,
        env = "TUNNEL_SERVER_WORKER_THREADS",
        default_value_t = 2,
        value_name = "COUNT"
    )]
    pub worker_threads: usize,
    /// How to log
    #[command(flatten)]
    pub log: LogArgs,
}

/// `tunnel-server check-config`.
///
/// # Errors
/// Every fault of the file.
pub fn check_config(path: &Path) -> anyhow::Result<()> {
    let text = file_watch::read(path).context("cannot read the file")?;
    match file::read(&String::from_utf8_lossy(&text)) {
        Ok(file) => {
            println!(
                "{}: {} clusters, {} callers",
                path.display(),
                file.access.clusters(),
                file.access.callers()
            );
            Ok(())
        }
        Err(faults) => bail!("{}:\n{faults}", path.display()),
    }
}

/// `tunnel-server token new`.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_token(command: &TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::New { kind } = command;
    let kind = match kind {
        TokenFor::Connector => TokenKind::Connector,
        TokenFor::Access => TokenKind::Access,
    };
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("the system gives no randomness")?;
    let token = Token::from_random(kind, &random);
    println!("token: {}", token.expose());
    println!("hash:  {}", token.hash());
    eprintln!("The token is shown this once. Put the hash into the configuration file.");
    Ok(())
}
