//! Failures as answers. Says whose fault it was: the request's, the filter's,
//! the credential's or the API server's.

use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use http_relay::framing::FramingError;
use http_relay::status;
use http_relay::upgrade::UnsupportedUpgrade;
use http_relay::{RelayBody, RelayError};
use thiserror::Error;
use tunnel_protocol::Failure;

use crate::filter::Refused;
use crate::go_words::{self, Asked, cause};
use crate::plain;
use crate::routes::PathError;
use crate::secret::NoSecret;
use crate::upstream::{SendError, UpstreamError};
use crate::well_formed::Malformed;

#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    #[error(transparent)]
    Secret(#[from] NoSecret),
    #[error("malformed request: {0}")]
    Malformed(#[from] Malformed),
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
    /// With `--kubectl-errors`; in kubectl's words.
    #[error("invalid upgrade response: status code {}", .0.as_u16())]
    NotSwitched(StatusCode),
}

impl ProxyError {
    pub(crate) fn response(&self) -> Response<RelayBody> {
        let (code, failure, message) = self.told();
        self.ended(status::response(code, failure, &message, None))
    }

    /// As kubectl proxy answers: plain text, and 500 for whatever went wrong behind it.
    pub(crate) fn as_kubectl(&self, asked: Asked<'_>) -> Response<RelayBody> {
        const BROKEN: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
        let (code, _, message) = self.told();
        let answer = match self {
            Self::Malformed(malformed) => plain::bare(code, malformed.in_gos_words()),
            Self::Path(_) => plain::bare(code, "400 Bad Request"),
            Self::Upstream(UpstreamError::Send(SendError::Dial(error))) => {
                plain::text(BROKEN, go_words::unreachable(error, asked) + "\n")
            }
            Self::Upstream(UpstreamError::Send(SendError::Broken(error))) => {
                plain::text(BROKEN, go_words::broken(error, asked) + "\n")
            }
            _ if code == StatusCode::UNAUTHORIZED => return self.response(),
            _ if code == StatusCode::FORBIDDEN => plain::text(code, "Forbidden\n"),
            _ if code == StatusCode::BAD_REQUEST => plain::bare(code, "400 Bad Request"),
            _ => plain::text(BROKEN, message + "\n"),
        };
        self.ended(answer)
    }

    /// As Go does, ends the connection on which something malformed came.
    fn ended(&self, mut answer: Response<RelayBody>) -> Response<RelayBody> {
        if matches!(
            self,
            Self::Malformed(_) | Self::Framing(_) | Self::Upgrade(_) | Self::Path(_)
        ) {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        answer
    }

    fn told(&self) -> (StatusCode, Failure, String) {
        match self {
            Self::Secret(_) => (
                StatusCode::UNAUTHORIZED,
                Failure::SidecarSecret,
                self.to_string(),
            ),
            Self::Malformed(malformed) => {
                (malformed.status(), Failure::BadRequest, self.to_string())
            }
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
            // What it was sent is the only body that we relay to it.
            Self::Upstream(UpstreamError::Send(SendError::Broken(error)))
                if cause::<RelayError>(error).is_some() =>
            {
                (
                    StatusCode::BAD_REQUEST,
                    Failure::BadRequest,
                    format!("the request's body did not come whole: {error}"),
                )
            }
            Self::Upstream(UpstreamError::Send(SendError::Broken(error))) => (
                StatusCode::BAD_GATEWAY,
                Failure::ApiServerBroken,
                format!("the API server gave no answer: {error}"),
            ),
            Self::Answer(_) | Self::Switched | Self::NotSwitched(_) => (
                StatusCode::BAD_GATEWAY,
                Failure::BadAnswer,
                self.to_string(),
            ),
        }
    }
}
