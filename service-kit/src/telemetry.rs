//! Logs, on standard error. Only our own crates' events are shown: libraries
//! print headers and frames at their lower levels, and with them tokens.

use clap::{Args, ValueEnum};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::panic_hook;

/// The crates whose events are shown at the level that is asked for.
const OURS: &[&str] = &[
    "tunnel_server",
    "tunnel_client",
    "proxy_sidecar",
    "service_kit",
    "http_relay",
    "tunnel_protocol",
];

/// Crates that warn of what a peer does, once for each of its frames: a stranger
/// could fill the log with it.
const TALKATIVE: &[&str] = &["h2"];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of every binary.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// How much to log: error, warn, info, debug or trace
    #[arg(
        long,
        env = "CULVERT_LOG_LEVEL",
        default_value = "info",
        value_name = "LEVEL"
    )]
    pub log_level: Level,
    /// How log lines look
    #[arg(
        long,
        env = "CULVERT_LOG_FORMAT",
        default_value = "text",
        value_enum,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
}

/// Starts logging, of panics too. A second call changes nothing, so that tests may call it.
pub fn init(args: &LogArgs) {
    let level = LevelFilter::from_level(args.log_level);
    let filter = Targets::new()
        .with_default(LevelFilter::from_level(args.log_level.min(Level::WARN)))
        .with_targets(TALKATIVE.iter().map(|target| (*target, LevelFilter::ERROR)))
        .with_targets(OURS.iter().map(|target| (*target, level)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match args.log_format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    // Only fails where a subscriber is set already: a test's.
    if started.is_ok() {
        panic_hook::install();
    }
}
