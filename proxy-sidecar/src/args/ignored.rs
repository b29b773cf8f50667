//! kubectl's global flags that mean nothing to a proxy. They are taken, so that a
//! command line that names them goes on working.

use clap::Args;

/// Read and not used.
#[derive(Args, Clone, Debug, Default)]
pub struct IgnoredArgs {
    #[arg(long, hide = true)]
    cache_dir: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    disable_compression: Option<Option<String>>,
    #[arg(long, hide = true)]
    kuberc: Option<String>,
    #[arg(long, hide = true)]
    log_flush_frequency: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    match_server_version: Option<Option<String>>,
    #[arg(short, long, hide = true)]
    namespace: Option<String>,
    #[arg(long, hide = true)]
    profile: Option<String>,
    #[arg(long, hide = true)]
    profile_output: Option<String>,
    #[arg(long, hide = true)]
    request_timeout: Option<String>,
    #[arg(short, long = "v", hide = true)]
    verbosity: Option<String>,
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    warnings_as_errors: Option<Option<String>>,
    /// kubectl ignores words that are no flags
    #[arg(hide = true)]
    words: Vec<String>,
}
