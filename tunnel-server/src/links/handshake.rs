//! A tunnel-client's request to make its connection a link.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, RETRY_AFTER, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_relay::headers::has_token;
use http_relay::{RelayBody, status};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tracing::Instrument;
use tunnel_protocol::handshake::{Hello, HelloError, Refusal, UPGRADE_TOKEN, mark_answer};
use tunnel_protocol::token::{Token, TokenKind};
use tunnel_protocol::{ClusterName, Failure};

use super::keeper::{Accepted, keep};
use crate::access::{Cluster, StoreError};
use crate::audit::{LinkRecord, Unavailable};
use crate::gateway::too_many;
use crate::limits::{OpenCounts, OpenOne, Peer};
use crate::metrics::Handshake;
use crate::shared::Shared;

/// Handshakes at once. Each is a store look-up and a few allocations; a fleet
/// that comes back at once is told to wait, not taken on.
const CONCURRENT: usize = 64;
/// Links of one cluster: some for each of a few pods. One token must not be able
/// to take all of the server's connections.
const LINKS_PER_CLUSTER: u32 = 32;
/// Told to a client that came at a bad moment, seconds; it adds its own jitter.
const COME_BACK: u32 = 1;

/// Bounds handshakes, and what comes of them.
pub(crate) struct Handshakes {
    at_once: Semaphore,
    links: OpenCounts<ClusterName>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            at_once: Semaphore::new(CONCURRENT),
            links: OpenCounts::default(),
        }
    }
}

/// A link's place among its cluster's; taken by the handshake, before the link is
/// registered, so that none of many at once is overlooked.
pub(super) type LinksPlace = OpenOne<ClusterName>;

/// A refusal and what a person should know.
struct Refused(Refusal, String);

/// Answers a handshake; on success a task of its own keeps the link.
pub(crate) async fn accept(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    peer: &Arc<Peer>,
    id: &HeaderValue,
) -> Response<RelayBody> {
    let version = request.version();
    let Ok(mut record) = LinkRecord::start(&shared.audit, id, peer.address()).await else {
        shared.metrics.handshake(Handshake::Shed);
        return answer(Refusal::Busy, &Unavailable.to_string());
    };
    let proved = match prove(shared, &request).await {
        Ok(proved) => proved,
        Err(refused) => return unproved(shared, peer, record, refused, version),
    };
    match place(shared, proved) {
        Ok((
            Proved {
                hello,
                token,
                cluster,
            },
            place,
        )) => {
            shared.metrics.handshake(Handshake::Accepted);
            peer.proved_as_connector();
            let id = shared.next_link_id();
            record.accepted(&cluster.name, id, &hello.instance);
            let span = tracing::info_span!("link", cluster = %cluster.name, instance = hello.instance, generation = hello.generation);
            let accepted = Accepted {
                hello,
                token: token.hash(),
                cluster,
                id,
                peer: peer.clone(),
                place,
            };
            let upgrade = hyper::upgrade::on(request);
            shared
                .links_spawner
                .spawn(keep(shared.clone(), upgrade, accepted, record).instrument(span));
            switching()
        }
        Err(refused) => refuse(shared, record, &refused),
    }
}

/// An address may have only so many that are written down.
fn unproved(
    shared: &Shared,
    peer: &Peer,
    record: LinkRecord,
    refused: Refused,
    version: Version,
) -> Response<RelayBody> {
    let refused = slowed(shared, peer, refused);
    match shared.limits.unproved_request(peer) {
        Ok(()) => refuse(shared, record, &refused),
        Err(limit) => {
            shared.metrics.handshake(Handshake::Shed);
            let mut response = too_many(shared, peer, limit, version);
            mark_answer(response.headers_mut(), Some(Refusal::Busy));
            response
        }
    }
}

fn refuse(shared: &Shared, record: LinkRecord, refused: &Refused) -> Response<RelayBody> {
    let Refused(refusal, message) = refused;
    shared.metrics.handshake(if refusal.is_final() {
        Handshake::Refused
    } else {
        Handshake::Shed
    });
    tracing::info!(
        refusal = refusal.code(),
        reason = message,
        "handshake refused"
    );
    record.refused(refusal.code(), message);
    answer(*refusal, message)
}

/// A token that is not known counts as a failure of its address, which may have
/// only so many.
fn slowed(shared: &Shared, peer: &Peer, refused: Refused) -> Refused {
    if refused.0 != Refusal::Token {
        return refused;
    }
    match shared.limits.failure(peer) {
        Ok(()) => refused,
        Err(limit) => Refused(Refusal::Busy, limit.to_string()),
    }
}

/// A connector whose token is known.
struct Proved {
    hello: Hello,
    token: Token,
    cluster: Arc<Cluster>,
}

async fn prove(shared: &Shared, request: &Request<Incoming>) -> Result<Proved, Refused> {
    let malformed = |message: &str| Refused(Refusal::Malformed, message.to_owned());
    let headers = request.headers();
    let asks = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, UPGRADE_TOKEN);
    if !asks {
        return Err(malformed(
            "this is where tunnel-clients connect: GET with Upgrade: culvert over HTTP/1.1",
        ));
    }
    let hello = Hello::read(headers).map_err(|error| match &error {
        HelloError::Version(_) => Refused(Refusal::Version, error.to_string()),
        HelloError::Header(_) => malformed(&error.to_string()),
    })?;
    if shared.draining.is_cancelled() {
        return Err(Refused(Refusal::Draining, "this server is ending".into()));
    }
    let Ok(_place) = shared.handshakes.at_once.try_acquire() else {
        return Err(Refused(
            Refusal::Busy,
            "too many connectors arrive at once".into(),
        ));
    };
    let unknown = || {
        Refused(
            Refusal::Token,
            "the connector token is not known here: it was revoked, or is another server's".into(),
        )
    };
    // As of callers: which of several counts depends on the reader.
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(malformed("several credentials; send one"));
    }
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = bearer
        .and_then(|text| Token::parse(TokenKind::Connector, text).ok())
        .ok_or_else(unknown)?;
    let busy = |error: StoreError| {
        tracing::error!(%error, "handshake not decided");
        Refused(Refusal::Busy, "the server cannot decide now".into())
    };
    let cluster = shared
        .store
        .connector(token.hash())
        .await
        .map_err(busy)?
        .ok_or_else(unknown)?;
    Ok(Proved {
        hello,
        token,
        cluster,
    })
}

/// Whether it may have a link.
fn place(shared: &Shared, proved: Proved) -> Result<(Proved, LinksPlace), Refused> {
    let Proved { hello, cluster, .. } = &proved;
    if let Some(named) = &hello.subdomain
        && *named != cluster.name
    {
        let message = format!(
            "the token is cluster {}'s, not {named}'s: mend --subdomain or --token-file",
            cluster.name
        );
        return Err(Refused(Refusal::Subdomain, message));
    }
    let links = &shared.handshakes.links;
    let place = links
        .open(&cluster.name, LINKS_PER_CLUSTER)
        .ok_or_else(|| {
            let message = format!("cluster {} has {LINKS_PER_CLUSTER} links", cluster.name);
            Refused(Refusal::Busy, message)
        })?;
    Ok((proved, place))
}

fn switching() -> Response<RelayBody> {
    let mut response = Response::new(http_relay::body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(UPGRADE_TOKEN));
    mark_answer(headers, None);
    response
}

fn answer(refusal: Refusal, message: &str) -> Response<RelayBody> {
    let failure = match refusal {
        Refusal::Malformed | Refusal::Version => Failure::BadRequest,
        Refusal::Token => Failure::Unauthenticated,
        Refusal::Subdomain => Failure::Forbidden,
        Refusal::Busy | Refusal::Draining => Failure::Draining,
    };
    let mut response = status::response(refusal.status(), failure, message, None);
    let headers = response.headers_mut();
    mark_answer(headers, Some(refusal));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if !refusal.is_final() {
        headers.insert(RETRY_AFTER, HeaderValue::from(COME_BACK));
    }
    response
}
