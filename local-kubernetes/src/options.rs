//! What a control plane can be started with.

use std::time::Duration;

/// Settings of a [`ControlPlane`](crate::ControlPlane).
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the API server writes an audit log: one line of JSON for each
    /// request, at level `Metadata`.
    pub audit: bool,
    /// The longest lifetime that a service-account token is given, at least
    /// one hour (`--service-account-max-token-expiration`).
    pub service_account_max_token_expiration: Option<Duration>,
    /// The shortest time after which the server ends a watch
    /// (`--min-request-timeout`, whole seconds); by itself 30 minutes.
    pub min_request_timeout: Option<Duration>,
    /// More arguments for kube-apiserver; they win over this crate's.
    pub api_server_arguments: Vec<String>,
    /// How long a start may take until everything is ready.
    pub ready_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            audit: true,
            service_account_max_token_expiration: None,
            min_request_timeout: None,
            api_server_arguments: Vec::new(),
            // It takes 3 s on two idle cores; a loaded machine is ten times
            // slower, and then there is a margin.
            ready_within: Duration::from_secs(90),
        }
    }
}
