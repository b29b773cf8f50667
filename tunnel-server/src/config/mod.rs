//! The validated configuration: flags, and the file that is watched.

pub mod file;
mod limits;
mod reader;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http_relay::stall_budget::StallBudget;
use service_kit::file_watch::{self, Content, FileFault};
use service_kit::secret_file;
use thiserror::Error;

use crate::audit;
use crate::cli::RunArgs;
use file::{Faults, File};

pub(crate) use watch::{Certificate, InForce, watch};

/// What the server is built from.
#[derive(Debug)]
pub struct Config {
    pub(crate) path: PathBuf,
    pub(crate) text: Content,
    pub(crate) file: File,
    pub(crate) dev: Option<PathBuf>,
    pub(crate) plain_http: bool,
    pub(crate) plain_http_listen: Option<SocketAddr>,
    pub(crate) audit: audit::Settings,
    pub(crate) drain: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) link_resets: usize,
    pub(crate) replicas: u32,
    pub(crate) hold: Duration,
    pub(crate) shutdown_delay: Duration,
    pub(crate) prove_within: Duration,
    pub(crate) connections: u32,
    pub(crate) worker_threads: usize,
    pub(crate) stalls: StallBudget,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {0}")]
    Read(#[from] FileFault),
    /// The file has faults: all of them.
    #[error("the configuration file {path} has faults:\n{faults}", path = .path.display())]
    Faults {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        faults: Faults,
    },
    /// Nothing to prove who the server is.
    #[error(
        "certificate: missing; name certificateFile and keyFile, or start with --dev, or with --plain-http \
         where a load balancer ends TLS"
    )]
    NoCertificate,
}

impl TryFrom<RunArgs> for Config {
    type Error = ConfigError;

    fn try_from(args: RunArgs) -> Result<Self, ConfigError> {
        let path = args.config;
        secret_file::warn_if_writable(&path);
        let text = file_watch::read(&path)?;
        let file =
            file::read(&String::from_utf8_lossy(&text)).map_err(|faults| ConfigError::Faults {
                path: path.clone(),
                faults,
            })?;
        if args.dev.is_none() && file.certificate.is_none() && !args.plain_http {
            return Err(ConfigError::NoCertificate);
        }
        Ok(Self {
            path,
            text,
            file,
            dev: args.dev,
            plain_http: args.plain_http,
            plain_http_listen: args.plain_http_listen,
            audit: audit::Settings {
                log: audit::Log::of(args.audit_log),
                on_failure: args.audit_failure,
            },
            drain: Duration::from_secs(args.drain_seconds),
            response_timeout: Duration::from_secs(args.response_timeout_seconds),
            worker_threads: args.worker_threads,
            link_resets: args.link_resets,
            replicas: args.replicas,
            hold: Duration::from_secs(args.hold_seconds),
            shutdown_delay: Duration::from_secs(args.shutdown_delay_seconds),
            prove_within: Duration::from_secs(args.prove_seconds),
            connections: args.connections,
            stalls: stall_budget(args.stalled_mib),
        })
    }
}

/// One link, and with it one cluster, has at most half of it.
fn stall_budget(mib: u64) -> StallBudget {
    let bytes = mib * 1024 * 1024;
    StallBudget::new(bytes, bytes / 2)
}
