//! The gateway's failures as answers. Says whose fault it was: the caller's, the
//! link's, the cluster's side, or ours.

use std::time::Duration;

use http::header::{CONNECTION, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_relay::framing::FramingError;
use http_relay::upgrade::UnsupportedUpgrade;
use http_relay::{RelayBody, status};
use thiserror::Error;
use tunnel_protocol::Failure;

use super::authenticate::Unauthenticated;
use super::origin::CrossOrigin;
use super::target::TargetError;
use crate::access::{Denied, StoreError};
use crate::audit::{Decision, Unavailable};
use crate::limits::LimitReached;
use crate::links::{NoLink, OpenError};

#[derive(Debug, Error)]
pub(crate) enum GatewayError {
    #[error("malformed request: {0}")]
    Framing(#[from] FramingError),
    #[error("malformed request: {0}")]
    Upgrade(#[from] UnsupportedUpgrade),
    #[error("malformed request: its body is cut or malformed")]
    Cut,
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    CrossOrigin(#[from] CrossOrigin),
    #[error("{0}")]
    Unauthenticated(#[from] Unauthenticated),
    #[error(transparent)]
    Limit(#[from] LimitReached),
    #[error("there is no cluster {0}")]
    UnknownCluster(String),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    NoLink(#[from] NoLink),
    #[error("no answer from the cluster within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the cluster's answer is malformed: {0}")]
    Answer(String),
    #[error("{0}")]
    Revoked(&'static str),
    #[error(transparent)]
    Audit(#[from] Unavailable),
}

impl GatewayError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Framing(_)
            | Self::Upgrade(_)
            | Self::Cut
            | Self::Target(TargetError::Malformed(_) | TargetError::Ambiguous(_)) => {
                Failure::BadRequest
            }
            Self::Target(TargetError::UnknownHost) => Failure::UnknownHost,
            Self::Target(TargetError::UnknownPath) => Failure::UnknownPath,
            Self::CrossOrigin(_) => Failure::CrossOrigin,
            Self::Unauthenticated(_) => Failure::Unauthenticated,
            Self::Limit(_) => Failure::TooManyRequests,
            Self::UnknownCluster(_) => Failure::UnknownCluster,
            Self::Denied(Denied::Forbidden { .. }) | Self::Revoked(_) => Failure::Forbidden,
            Self::Denied(Denied::Store(_)) | Self::Store(_) => Failure::Internal,
            Self::NoLink(NoLink::Missing { .. }) => Failure::NoLink,
            Self::NoLink(NoLink::Open(OpenError::Full | OpenError::Heads)) => Failure::LinkFull,
            Self::NoLink(NoLink::Open(OpenError::AnswersHead)) => Failure::BadAnswer,
            Self::NoLink(NoLink::Open(OpenError::Overloaded | OpenError::Stalled(_))) => {
                Failure::Overloaded
            }
            Self::NoLink(NoLink::Open(OpenError::Broken(_))) => Failure::LinkBroken,
            Self::Timeout(_) => Failure::Timeout,
            Self::Answer(_) => Failure::BadAnswer,
            Self::Audit(_) => Failure::AuditUnavailable,
        }
    }

    /// What was decided by it; nothing where the request may or might pass.
    pub(crate) fn decision(&self) -> Option<Decision> {
        match self {
            Self::Framing(_)
            | Self::Upgrade(_)
            | Self::Target(_)
            | Self::CrossOrigin(_)
            | Self::Limit(_)
            | Self::UnknownCluster(_)
            | Self::Audit(_) => Some(Decision::Refused),
            Self::Unauthenticated(_) => Some(Decision::Unauthenticated),
            Self::Denied(Denied::Forbidden { .. }) | Self::Revoked(_) => Some(Decision::Denied),
            Self::Denied(Denied::Store(_))
            | Self::Store(_)
            | Self::Cut
            | Self::NoLink(_)
            | Self::Timeout(_)
            | Self::Answer(_) => None,
        }
    }

    fn code(&self) -> StatusCode {
        match self.failure() {
            Failure::BadRequest => StatusCode::BAD_REQUEST,
            Failure::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Failure::UnknownPath | Failure::UnknownCluster => StatusCode::NOT_FOUND,
            Failure::Unauthenticated => StatusCode::UNAUTHORIZED,
            Failure::Forbidden | Failure::CrossOrigin => StatusCode::FORBIDDEN,
            Failure::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Failure::NoLink
            | Failure::LinkFull
            | Failure::Overloaded
            | Failure::AuditUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Failure::LinkBroken | Failure::BadAnswer => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the connection ends behind its open requests. HTTP/2 has no header
    /// that says so.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Self::Limit(limit) if limit.ends_connection())
    }

    /// Seconds after which trying again is worth it. client-go waits and tries
    /// again on it, up to ten times: not where that is pointless.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NoLink(
                NoLink::Missing { recently: true, .. }
                | NoLink::Open(OpenError::Full | OpenError::Heads | OpenError::Overloaded),
            )
            | Self::Audit(_) => Some(1),
            Self::Limit(limit) => Some(limit.retry_after()),
            _ => None,
        }
    }

    pub(crate) fn response(&self) -> Response<RelayBody> {
        // What the store said is for the log, not for callers.
        let message = match self {
            Self::Denied(Denied::Store(_)) | Self::Store(_) => {
                "the server cannot decide now".to_owned()
            }
            _ => format!("tunnel-server: {self}"),
        };
        let mut response =
            status::response(self.code(), self.failure(), &message, self.retry_after());
        let headers = response.headers_mut();
        match self {
            Self::Unauthenticated(_) => {
                headers.insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"culvert\""),
                );
            }
            _ if self.ends_connection() => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // The rest of the connection cannot be trusted to be requests.
            Self::Framing(_) | Self::Upgrade(_) | Self::Cut => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
