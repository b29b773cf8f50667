//! A caller's request, from its first header to its record. [`serve`] reads as
//! the list of what happens to it.

mod authenticate;
mod browser;
mod deadline;
mod error;
mod exchange;
pub mod identity;
mod location;
mod no_switch;
mod origin;
mod refused;
pub mod target;
mod trailers;

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderValue, Request, Response};
use http_relay::{RelayBody, framing, upgrade};
use hyper::body::Incoming;
use tracing::Instrument;
use tunnel_protocol::header::{REQUEST_ID, request_id};

use crate::access::authorize;
use crate::audit::{Record, Start, as_asked};
use crate::limits::{Connection, Peer, Places};
use crate::metrics::Outcome;
use crate::shared::Shared;
use crate::{links, pages};

use error::GatewayError;
use no_switch::NoSwitch;
use target::{ClusterTarget, Target};

pub(crate) use refused::{too_many, too_often};

/// Answers one request of a public connection.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    connection: Arc<Connection>,
) -> Result<Response<RelayBody>, Infallible> {
    let id = request_id(rand::random());
    let span = tracing::debug_span!("request", request_id = id.to_str().unwrap_or_default());
    let (no_switch, spawner) = (NoSwitch::of(&request), shared.spawner.clone());
    let peer = Peer::of(connection, request.headers(), &shared.trusted_proxies);
    let mut response = route(shared, request, &peer, &id).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    no_switch.close(&mut response, &spawner);
    Ok(response)
}

async fn route(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    peer: &Peer,
    id: &HeaderValue,
) -> Response<RelayBody> {
    let target = framing::check(request.headers())
        .map_err(GatewayError::from)
        .and_then(|()| Ok(Target::of(&request, &shared.hosts)?));
    let version = request.version();
    match target {
        Ok(Target::Handshake) => links::accept(&shared, request, peer, id).await,
        Ok(Target::Front) if peer.is_a_proxy_itself() => pages::front(),
        Ok(Target::Front) => match shared.limits.unproved_request(peer) {
            Ok(()) => pages::front(),
            Err(limit) => too_many(&shared, peer, limit, version),
        },
        Ok(Target::Cluster(target)) => {
            let path = (target.path.path(), target.path.query());
            let mut record = match record(&shared, &request, peer, id, path, true).await {
                Ok(record) => record,
                Err(error) => return unrecorded(&shared, &error),
            };
            match call(&shared, request, peer, id, &target, &mut record).await {
                Ok(answer) => answer.finish(record),
                Err(error) => refused::refuse(&shared, peer, error, record, version),
            }
        }
        Err(error) => {
            let path = as_asked(request.uri());
            match record(&shared, &request, peer, id, path, false).await {
                Ok(record) => refused::refuse(&shared, peer, error, record, version),
                Err(error) => unrecorded(&shared, &error),
            }
        }
    }
}

/// Nothing is done for a request before there is a place for its record.
async fn record(
    shared: &Shared,
    request: &Request<Incoming>,
    peer: &Peer,
    id: &HeaderValue,
    (path, query): (&str, Option<&str>),
    is_api: bool,
) -> Result<Record, GatewayError> {
    let slot = shared.audit.slot().await?;
    let start = Start {
        id,
        client: peer.address(),
        method: request.method(),
        headers: request.headers(),
        path,
        query,
        is_api,
    };
    Ok(Record::start(slot, shared.metrics.clone(), &start))
}

fn unrecorded(shared: &Shared, error: &GatewayError) -> Response<RelayBody> {
    tracing::debug!(%error, "refused");
    shared.metrics.opened();
    let outcome = Outcome::Failed(error.failure());
    shared.metrics.ended(outcome, 0, 0);
    error.response()
}

/// Whose page sent it, authenticate, target, authorize, then the exchange over a link.
async fn call(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
    peer: &Peer,
    id: &HeaderValue,
    target: &ClusterTarget,
    record: &mut Record,
) -> Result<exchange::Answer, GatewayError> {
    origin::check(&request)?;
    let (caller, by) = authenticate::caller(request.headers_mut(), shared.store.as_ref())
        .await
        .map_err(|error| slowed(shared, peer, error))?;
    record.caller(&caller, by);
    let callers_place = shared.limits.caller(peer.connection(), &caller.name)?;
    let cluster = shared
        .store
        .cluster(&target.name)
        .await?
        .ok_or_else(|| GatewayError::UnknownCluster(target.name.to_string()))?;
    record.cluster(&cluster.name);
    let permit = authorize(shared.store.clone(), caller, cluster).await?;
    record.allowed(permit.grant());
    let places = Places {
        _caller: callers_place,
        _cluster: shared.limits.cluster(&target.name)?,
        _connection: peer.connection().clone(),
    };
    let asked = upgrade::requested(request.headers())?;
    identity::replace(request.headers_mut(), peer.address().ip(), id);
    exchange::run(shared, permit, places, request, asked, target, record).await
}

/// An address may fail only so often; whoever proves itself is not held up by it.
fn slowed(shared: &Shared, peer: &Peer, error: GatewayError) -> GatewayError {
    match error {
        GatewayError::Unauthenticated(_) => match shared.limits.failure(peer) {
            Ok(()) => error,
            Err(limit) => limit.into(),
        },
        _ => error,
    }
}
