//! A tunnel-client's request to make its connection a link.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, RETRY_AFTER, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_relay::{RelayBody, status};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;
use tunnel_protocol::carrier::UPGRADE_TOKEN;
use tunnel_protocol::handshake::{Hello, HelloError, Refusal, mark_answer};
use tunnel_protocol::token::{Token, TokenKind};
use tunnel_protocol::{ClusterName, Failure};

use super::carrier::Asked;
use super::keeper::{Accepted, keep};
use crate::access::{Cluster, StoreError};
use crate::audit::{LinkRecord, Unavailable};
use crate::gateway::{too_many, too_often};
use crate::limits::{LimitReached, OpenCounts, OpenOne, Peer};
use crate::metrics::Handshake;
use crate::shared::Shared;

/// Handshakes at once, from the store's look-up until the link's client has answered. A
/// fleet that comes back faster than that is told to wait, not taken on. Who holds a
/// place for long has a token that is known.
pub(crate) const CONCURRENT: usize = 256;
/// Of one cluster's: whoever has some tokens is not to hold all of them.
const CONCURRENT_OF_A_CLUSTER: u32 = 16;
/// Links of one cluster: some for each of a few pods. One token must not be able
/// to take all of the server's connections.
const LINKS_PER_CLUSTER: u32 = 32;
/// Told to a client that came at a bad moment, seconds; it adds its own jitter.
const COME_BACK: u32 = 1;

/// Bounds handshakes, and what comes of them.
pub(crate) struct Handshakes {
    at_once: Arc<Semaphore>,
    of_a_cluster: OpenCounts<ClusterName>,
    links: OpenCounts<ClusterName>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(CONCURRENT)),
            of_a_cluster: OpenCounts::default(),
            links: OpenCounts::default(),
        }
    }
}

/// A link's place among its cluster's; taken by the handshake, before the link is
/// registered, so that none of many at once is overlooked.
pub(super) type LinksPlace = OpenOne<ClusterName>;

/// A handshake's, among those at once; given back when the link's client has answered.
pub(super) struct Turn {
    _at_once: OwnedSemaphorePermit,
    _of_its_cluster: OpenOne<ClusterName>,
}

/// A refusal and what a person should know.
struct Refused(Refusal, String);

/// Why a handshake comes to nothing before it is asked whether there may be a link.
enum NotTakenOn {
    Refused(Refused),
    /// Its token is known, and its cluster dials too often.
    TooOften(ClusterName, LimitReached),
}

impl From<Refused> for NotTakenOn {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Answers a handshake; on success a task of its own keeps the link.
pub(crate) async fn accept(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    peer: &Peer,
    id: &HeaderValue,
) -> Response<RelayBody> {
    let version = request.version();
    let Ok(mut record) = LinkRecord::start(&shared.audit, id, peer.address()).await else {
        shared.metrics.handshake(Handshake::Shed);
        return answer(Refusal::Busy, &Unavailable.to_string());
    };
    let proved = match prove(shared, &request).await {
        Ok(proved) => proved,
        Err(NotTakenOn::Refused(refused)) => {
            return unproved(shared, peer, record, refused, version);
        }
        Err(NotTakenOn::TooOften(cluster, limit)) => {
            shared.metrics.handshake(Handshake::Limited);
            let mut response = too_often(shared, peer, &cluster, limit);
            mark_answer(response.headers_mut(), Some(Refusal::Busy));
            return response;
        }
    };
    match place(shared, proved) {
        Ok((
            Proved {
                asked,
                hello,
                token,
                cluster,
                turn,
            },
            place,
        )) => {
            shared.metrics.handshake(Handshake::Accepted);
            peer.connection().proved_as_connector();
            let id = shared.next_link_id();
            record.accepted(&cluster.name, id, &hello.instance);
            let span = tracing::info_span!("link", cluster = %cluster.name, instance = hello.instance, lane = hello.lane, generation = hello.generation);
            let accepted = Accepted {
                carrier: asked.carrier,
                hello,
                token: token.hash(),
                cluster,
                id,
                connection: peer.connection().clone(),
                place,
                turn,
            };
            let upgrade = hyper::upgrade::on(request);
            shared
                .links_spawner
                .spawn(keep(shared.clone(), upgrade, accepted, record).instrument(span));
            switching(asked)
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
    asked: Asked,
    hello: Hello,
    token: Token,
    cluster: Arc<Cluster>,
    turn: Turn,
}

async fn prove(shared: &Shared, request: &Request<Incoming>) -> Result<Proved, NotTakenOn> {
    let malformed = |message: &str| Refused(Refusal::Malformed, message.to_owned());
    let headers = request.headers();
    let Some(asked) = Asked::read(request) else {
        let refused = match Hello::read(headers) {
            Ok(_) => Refused(
                Refusal::NoUpgrade,
                "something on the way has removed the request to upgrade".into(),
            ),
            Err(_) => malformed(
                "this is where tunnel-clients connect: GET with Upgrade: culvert over HTTP/1.1",
            ),
        };
        return Err(refused.into());
    };
    let hello = Hello::read(headers).map_err(|error| match &error {
        HelloError::Version(_) => Refused(Refusal::Version, error.to_string()),
        HelloError::Header(_) => malformed(&error.to_string()),
    })?;
    if shared.draining.is_cancelled() {
        return Err(Refused(Refusal::Draining, "this server is ending".into()).into());
    }
    let Ok(at_once) = shared.handshakes.at_once.clone().try_acquire_owned() else {
        let message = "too many connectors arrive at once".to_owned();
        return Err(Refused(Refusal::Busy, message).into());
    };
    let unknown = || {
        Refused(
            Refusal::Token,
            "the connector token is not known here: it was revoked, or is another server's".into(),
        )
    };
    // As of callers: which of several counts depends on the reader.
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(malformed("several credentials; send one").into());
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
    // Before any other bound of the cluster's: what those refuse is written down.
    if let Err(limit) = shared.limits.handshake(&cluster.name) {
        return Err(NotTakenOn::TooOften(cluster.name.clone(), limit));
    }
    let of_its_cluster = shared
        .handshakes
        .of_a_cluster
        .open(&cluster.name, CONCURRENT_OF_A_CLUSTER);
    let Some(of_its_cluster) = of_its_cluster else {
        let message = format!("cluster {} has many handshakes under way", cluster.name);
        return Err(Refused(Refusal::Busy, message).into());
    };
    let turn = Turn {
        _at_once: at_once,
        _of_its_cluster: of_its_cluster,
    };
    Ok(Proved {
        asked,
        hello,
        token,
        cluster,
        turn,
    })
}

/// Whether it may have a link.
fn place(shared: &Shared, proved: Proved) -> Result<(Proved, LinksPlace), Refused> {
    let Proved { hello, cluster, .. } = &proved;
    if hello.linked.contains(&shared.replica) {
        let message = "this replica has a link of this client's already".to_owned();
        return Err(Refused(Refusal::Linked, message));
    }
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

fn switching(asked: Asked) -> Response<RelayBody> {
    let mut response = Response::new(http_relay::body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    asked.switch(headers);
    mark_answer(headers, None);
    response
}

fn answer(refusal: Refusal, message: &str) -> Response<RelayBody> {
    let failure = match refusal {
        Refusal::Malformed | Refusal::NoUpgrade | Refusal::Version => Failure::BadRequest,
        Refusal::Token => Failure::Unauthenticated,
        Refusal::Subdomain => Failure::Forbidden,
        Refusal::Linked | Refusal::Busy | Refusal::Draining => Failure::Draining,
    };
    let mut response = status::response(refusal.status(), failure, message, None);
    let headers = response.headers_mut();
    mark_answer(headers, Some(refusal));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if refusal == Refusal::NoUpgrade {
        // RFC 9110, section 15.5.22.
        headers.insert(UPGRADE, HeaderValue::from_static(UPGRADE_TOKEN));
    } else if !refusal.is_final() {
        headers.insert(RETRY_AFTER, HeaderValue::from(COME_BACK));
    }
    response
}
