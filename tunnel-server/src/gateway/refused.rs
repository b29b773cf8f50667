//! The end of requests that are refused. Those of strangers cost little: an address
//! has only so many that are looked at and written down, and so has a cluster that dials.

use http::header::CONTENT_LENGTH;
use http::{Response, Version};
use http_relay::{RelayBody, body, mask};
use tunnel_protocol::ClusterName;

use super::error::GatewayError;
use crate::audit::Record;
use crate::limits::{LimitReached, Peer};
use crate::metrics::Outcome;
use crate::shared::Shared;

/// Answers a request, which the record tells.
pub(super) fn refuse(
    shared: &Shared,
    peer: &Peer,
    error: GatewayError,
    mut record: Record,
    version: Version,
) -> Response<RelayBody> {
    if !record.is_proved()
        && let Err(limit) = shared.limits.unproved_request(peer)
    {
        record.unwritten();
        let response = too_many(shared, peer, limit.clone(), version);
        let outcome = Outcome::Failed(GatewayError::Limit(limit).failure());
        record.answered(outcome, response.status());
        return response;
    }
    let response = error.response();
    let reason = mask::text(&error.to_string());
    tracing::debug!(error = reason, "refused");
    record.failed(error.decision(), &reason);
    record.answered(Outcome::Failed(error.failure()), response.status());
    if error.ends_connection() {
        peer.connection().close();
    }
    response
}

/// Answers a connector whose cluster dials too often; counted, but not written down.
pub(crate) fn too_often(
    shared: &Shared,
    peer: &Peer,
    cluster: &ClusterName,
    limit: LimitReached,
) -> Response<RelayBody> {
    shared.audit.unwritten_of(cluster);
    peer.connection().close();
    GatewayError::Limit(limit).response()
}

/// Answers a stranger whose address sends too much; counted, but not written down.
pub(crate) fn too_many(
    shared: &Shared,
    peer: &Peer,
    limit: LimitReached,
    version: Version,
) -> Response<RelayBody> {
    shared.metrics.unwritten();
    shared.audit.unwritten(peer.address().ip().into());
    peer.connection().close();
    let mut response = GatewayError::Limit(limit).response();
    if version == Version::HTTP_2 {
        // A stream that may not send a body would be kept as long as its caller likes.
        *response.body_mut() = body::empty();
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}
