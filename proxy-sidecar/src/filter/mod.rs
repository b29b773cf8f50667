//! Which requests are forwarded. Two judges, each by its own flags: [`Filter`] is
//! kubectl proxy's, [`Protection`] keeps callers out of the connector's own
//! namespace whatever the filter accepts.

mod kubectl;
mod protection;

use thiserror::Error;

pub use kubectl::{Filter, FilterError};
pub use protection::{Protection, ProtectionError};
pub use request_info::Ambiguous;

/// Why a request was refused; the text names the flag that did it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// By `--reject-paths`.
    #[error("the path is refused by --reject-paths")]
    Path,
    /// By `--reject-methods`.
    #[error("the method is refused by --reject-methods")]
    Method,
    /// By `--accept-paths`.
    #[error("the path is not accepted by --accept-paths")]
    PathNotAccepted,
    /// By `--accept-hosts`.
    #[error("the Host header is not accepted by --accept-hosts")]
    Host,
    /// By `--accept-hosts`, for a web page.
    #[error("the Origin header is not accepted by --accept-hosts")]
    Origin,
    /// By `--protect-namespaces`.
    #[error("--protect-namespaces keeps callers out of the namespace {0}")]
    Protected(String),
    /// By `--protect-namespaces`, as the protected namespaces' would be among them.
    #[error(
        "--protect-namespaces refuses the Secrets of all namespaces at once; ask for those of one \
         namespace (kubectl --namespace)"
    )]
    AllSecrets,
    /// By `--reject-token-requests`.
    #[error("--reject-token-requests refuses tokens of service accounts")]
    TokenRequest,
    /// By either of those two: what cannot be judged is not forwarded.
    #[error("{0}, so that --protect-namespaces and --reject-token-requests cannot judge it")]
    Ambiguous(#[from] Ambiguous),
}
