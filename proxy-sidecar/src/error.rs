//! Failures as answers. Says whose fault it was: the request's, the filter's,
//! the credential's or the API server's.

use http::{Response, StatusCode};
use http_relay::RelayBody;
use http_relay::framing::FramingError;
use http_relay::status;
use http_relay::upgrade::UnsupportedUpgrade;
use thiserror::Error;
use tunnel_protocol::Failure;

use crate::filter::Refused;
use crate::plain;
use crate::routes::PathError;
use crate::secret::NoSecret;
use crate::upstream::{SendError, UpstreamError};

#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    #[error(transparent)]
    Secret(#[from] NoSecret),
    #[error("malformed request: {0}")]
    Framing(#[from] FramingError),
    #[error("malformed request: {0}")]
    Upgrade(#[from] UnsupportedUpgrade),
    #[error("malformed request: {0}")]
    Path(#[from] PathError),
    #[error("refused by proxy-sidecar: {0}")]
    Refused(#[from] Refused),
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    #[error("the API server's answer is malformed: {0}")]
    Answer(FramingError),
    #[error("the API server switched to a protocol that was not asked for")]
    Switched,
}

impl ProxyError {
    pub(crate) fn response(&self) -> Response<RelayBody> {
        let (code, failure, message) = self.told();
        status::response(code, failure, &message, None)
    }

    /// As kubectl proxy answers: plain text, and 500 for whatever went wrong behind it.
    pub(crate) fn as_kubectl(&self) -> Response<RelayBody> {
        let (code, _, message) = self.told();
        match code {
            StatusCode::UNAUTHORIZED => self.response(),
            StatusCode::FORBIDDEN => plain::text(code, "Forbidden\n"),
            StatusCode::BAD_REQUEST => plain::text(code, "400 Bad Request"),
            _ => plain::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{message}\n")),
        }
    }

    fn told(&self) -> (StatusCode, Failure, String) {
        match self {
            Self::Secret(_) => (
                StatusCode::UNAUTHORIZED,
                Failure::SidecarSecret,
                self.to_string(),
            ),
            Self::Framing(_)
            | Self::Upgrade(_)
            | Self::Path(_)
            | Self::Upstream(UpstreamError::Target) => (
                StatusCode::BAD_REQUEST,
                Failure::BadRequest,
                self.to_string(),
            ),
            Self::Refused(Refused::Ambiguous(_)) => (
                StatusCode::BAD_REQUEST,
                Failure::BadRequest,
                self.to_string(),
            ),
            Self::Refused(_) => (StatusCode::FORBIDDEN, Failure::Filtered, self.to_string()),
            Self::Upstream(UpstreamError::Credential(error)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                Failure::CredentialUnavailable,
                format!("proxy-sidecar has no credential for the API server: {error}"),
            ),
            Self::Upstream(UpstreamError::Send(SendError::Dial(error))) => (
                StatusCode::BAD_GATEWAY,
                Failure::ApiServerUnreachable,
                format!("proxy-sidecar cannot reach the API server: {error}"),
            ),
            Self::Upstream(UpstreamError::Send(SendError::Broken(error))) => (
                StatusCode::BAD_GATEWAY,
                Failure::ApiServerBroken,
                format!("the API server gave no answer: {error}"),
            ),
            Self::Answer(_) | Self::Switched => (
                StatusCode::BAD_GATEWAY,
                Failure::BadAnswer,
                self.to_string(),
            ),
        }
    }
}
