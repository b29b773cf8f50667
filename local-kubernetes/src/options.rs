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
    /// What the API server shows to those who call it by its address.
    pub serving_certificate: ServingCertificate,
    /// More arguments for kube-apiserver; they win over this crate's.
    pub api_server_arguments: Vec<String>,
    /// How long a start may take until everything is ready.
    pub ready_within: Duration,
}

/// Where an API server's certificate is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServingCertificate {
    /// A CA that signs nothing else.
    #[default]
    Ca,
    /// kube-apiserver itself, which makes a CA and a certificate of it where it is
    /// given none (`--cert-dir`).
    SelfMade,
    /// Itself: it is its own CA, marked as one.
    OwnCa,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            audit: true,
            service_account_max_token_expiration: None,
            min_request_timeout: None,
            serving_certificate: ServingCertificate::default(),
            api_server_arguments: Vec::new(),
            // It takes 3 s on two idle cores; a loaded machine is ten times
            // slower, and then there is a margin.
            ready_within: Duration::from_secs(90),
        }
    }
}
