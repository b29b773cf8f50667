//! Which connection a request goes over, and what becomes of it where the connection
//! ends before the API server has looked at it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_relay::{RelayBody, framing};
use prometheus_client::metrics::gauge::Gauge;
use service_kit::metrics::Counted;
use service_kit::tasks::{Spawner, Tasks};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::capacity::Capacity;

use super::answer::{AnswerBody, Held, holding};
use super::cause::Cause;
use super::dial::{DialError, Dialer, Dialled, Purpose};
use super::http1::{self, Idle, Lease};
use super::http2::{Place, Pool, was_not_taken};
use super::outgoing::Outgoing;
use super::replay::Room;
use super::tls::Tls;

/// Below the API server's own 90 s, so that we close an idle connection first
/// and no request meets one that is just being closed.
const IDLE: Duration = Duration::from_secs(60);
/// Connections that are tried for one request, where each ends before it is taken. An
/// API server that says goodbye at one of fifty requests (`--goaway-chance`) overtakes
/// a third of those that come at once: of a thousand one or two were overtaken five times.
const ATTEMPTS: u32 = 20;
/// So many follow at once; then there are pauses that double, as whoever ends each
/// connection must not be dialled without one.
const AT_ONCE: u32 = 4;
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Dials that one request waits for, where others take what was dialled.
const ROUNDS: usize = 200;
/// Connections that end before anybody has taken them.
const STILLBORN: usize = 3;

/// All connections to the API server of one thread: nothing is sent on one while a
/// goodbye is read from it.
pub(super) struct Connections {
    inner: Arc<Inner>,
    /// Idle connections too: they end with this, and no drain waits for them.
    _tasks: Tasks,
}

/// What all threads' connections have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) dialer: Arc<Dialer>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) capacity: Capacity,
    /// What is kept of requests' bodies.
    pub(super) room: Room,
    /// Connections that are open.
    pub(super) count: Gauge,
}

struct Inner {
    shared: Shared,
    authority: Authority,
    scheme: Scheme,
    host: HeaderValue,
    idle: Idle,
    http2: Pool,
    /// As far as is known.
    speaks_http2: AtomicBool,
    dialling: Mutex<Option<watch::Receiver<Dialling>>>,
    tasks: Spawner,
}

/// Nothing until it has come to an end.
type Dialling = Option<Result<(), DialError>>;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    /// The request was sent nowhere.
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}")]
    Broken(#[source] Cause),
}

enum Lane {
    Http1(Lease),
    Http2(Place),
}

impl Connections {
    pub(super) fn new(server: &Uri, shared: Shared, worker: Handle) -> Self {
        let tasks = Tasks::new();
        let spawner = tasks.spawner().on(worker);
        let authority = server.authority().cloned();
        let authority = authority.unwrap_or_else(|| Authority::from_static("localhost"));
        let host = HeaderValue::from_str(authority.as_str());
        let inner = Arc::new(Inner {
            speaks_http2: AtomicBool::new(shared.tls.is_some()),
            scheme: server.scheme().cloned().unwrap_or(Scheme::HTTPS),
            host: host.unwrap_or_else(|_| HeaderValue::from_static("localhost")),
            authority,
            idle: Idle::default(),
            http2: Pool::new(shared.capacity.stream_window),
            dialling: Mutex::default(),
            shared,
            tasks: spawner.clone(),
        });
        let (idle, http2) = (inner.idle.clone(), inner.http2.clone());
        spawner.spawn(async move {
            loop {
                sleep(IDLE / 2).await;
                idle.close_older(IDLE);
                http2.close_older(IDLE);
            }
        });
        Self {
            inner,
            _tasks: tasks,
        }
    }

    /// Sends an ordinary request, whose target is a path, and gives the answer's head.
    pub(super) async fn send(
        &self,
        request: Request<RelayBody>,
    ) -> Result<Response<AnswerBody>, SendError> {
        let mut outgoing = Outgoing::new(request);
        for attempt in 1..=ATTEMPTS {
            let sent = match self.inner.lane().await? {
                Lane::Http1(lease) => self.inner.over_http1(lease, &mut outgoing).await,
                Lane::Http2(place) => self.inner.over_http2(place, &mut outgoing).await,
            };
            match sent {
                Ok(response) => return Ok(response),
                Err(Unsent::Untaken(error)) => {
                    tracing::debug!(%error, attempt, "the request goes over another connection");
                }
                Err(Unsent::Failed(error)) => return Err(SendError::Broken(error)),
            }
            if let Some(doublings) = attempt.checked_sub(AT_ONCE) {
                sleep(LONGEST_PAUSE.min(PAUSE * 2_u32.saturating_pow(doublings))).await;
            }
        }
        Err(SendError::Broken(Cause::new(Overtaken)))
    }

    /// Sends a request to switch protocols over a connection of its own.
    pub(super) async fn upgrade(
        &self,
        mut request: Request<RelayBody>,
    ) -> Result<Response<AnswerBody>, SendError> {
        let dialled = self.inner.shared.dialer.dial(Purpose::Upgrade).await?;
        let lease = self.inner.speak_http1(dialled).await;
        let broken = |error: hyper::Error| SendError::Broken(Cause::new(error));
        let mut lease = lease.map_err(broken)?;
        self.inner.for_http1(&mut request);
        let response = lease.sender().send_request(request).await.map_err(broken)?;
        Ok(holding(response, None))
    }
}

type Sent = Result<Response<AnswerBody>, Unsent>;

/// There is no answer.
enum Unsent {
    /// Nobody has looked at the request, and it can be sent again.
    Untaken(Cause),
    Failed(Cause),
}

impl Inner {
    async fn lane(self: &Arc<Self>) -> Result<Lane, DialError> {
        let mut stillborn = 0;
        for _ in 0..ROUNDS {
            // Looks at the files, too.
            let generation = self
                .shared
                .tls
                .as_ref()
                .map_or(0, |tls| tls.current().generation);
            if let Some(place) = self.http2.take(generation) {
                return Ok(Lane::Http2(place));
            }
            if let Some(lease) = self.idle.take(generation) {
                return Ok(Lane::Http1(lease));
            }
            if !self.speaks_http2.load(Ordering::Relaxed) {
                if let Some(lease) = self.open().await? {
                    return Ok(Lane::Http1(lease));
                }
                continue;
            }
            self.dialled_for_all().await?;
            if self.speaks_http2.load(Ordering::Relaxed) && !self.http2.is_open(generation) {
                stillborn += 1;
                if stillborn == STILLBORN {
                    return Err(DialError::Broken(Cause::new(Overtaken)));
                }
                sleep(PAUSE).await;
            }
        }
        Err(DialError::Crowded)
    }

    /// One connection carries many: who comes while it is dialled waits for it, too.
    async fn dialled_for_all(self: &Arc<Self>) -> Result<(), DialError> {
        let mut waiting = self.dial_for_all();
        match waiting.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            Err(_) => {
                // Its task was ended; the next one dials anew.
                *lock(&self.dialling) = None;
                Err(DialError::Crowded)
            }
        }
    }

    fn dial_for_all(self: &Arc<Self>) -> watch::Receiver<Dialling> {
        let mut dialling = lock(&self.dialling);
        if let Some(dialling) = &*dialling {
            return dialling.clone();
        }
        let (told, waiting) = watch::channel(None);
        *dialling = Some(waiting.clone());
        let inner = self.clone();
        self.tasks.spawn(async move {
            let opened = inner.open().await;
            let opened = opened.map(|lease| lease.map_or((), Lease::give_back));
            *lock(&inner.dialling) = None;
            told.send_replace(Some(opened));
        });
        waiting
    }

    /// Opens a connection. One over HTTP/2 is the pool's, one over HTTP/1.1 its caller's.
    async fn open(&self) -> Result<Option<Lease>, DialError> {
        let dialled = self.shared.dialer.dial(Purpose::Requests).await?;
        tracing::debug!(http2 = dialled.is_http2, "connected to the API server");
        self.speaks_http2.store(dialled.is_http2, Ordering::Relaxed);
        if dialled.is_http2 {
            let counted = Counted::new(&self.shared.count);
            let added = self.http2.add(dialled, counted, &self.tasks).await;
            let broken = |error| DialError::Broken(Cause::new(error));
            return added.map(|()| None).map_err(broken);
        }
        let lease = self.speak_http1(dialled).await;
        let broken = |error| DialError::Broken(Cause::new(error));
        lease.map(Some).map_err(broken)
    }

    async fn speak_http1(&self, dialled: Dialled) -> Result<Lease, hyper::Error> {
        let counted = Counted::new(&self.shared.count);
        http1::connect(dialled, &self.idle, counted, &self.tasks).await
    }

    async fn over_http1(&self, mut lease: Lease, outgoing: &mut Outgoing) -> Sent {
        let Some(mut request) = outgoing.take() else {
            return Err(Unsent::Failed(Cause::new(TooMuch)));
        };
        self.for_http1(&mut request);
        match lease.sender().try_send_request(request).await {
            Ok(response) => Ok(holding(response, Some(Held::Http1(lease)))),
            Err(mut error) => {
                // It comes back where nothing of it was sent.
                let unsent = error
                    .take_message()
                    .map(|request| outgoing.put_back(request));
                let error = Cause::new(error.into_error());
                Err(match unsent {
                    Some(()) => Unsent::Untaken(error),
                    None => Unsent::Failed(error),
                })
            }
        }
    }

    async fn over_http2(&self, place: Place, outgoing: &mut Outgoing) -> Sent {
        let Some(mut request) = outgoing.copy(&self.shared.room, &place) else {
            return Err(Unsent::Failed(Cause::new(TooMuch)));
        };
        let is_safe = request.method().is_safe();
        self.for_http2(&mut request);
        match place.sender().try_send_request(request).await {
            Ok(response) => Ok(holding(response, Some(Held::Http2 { _place: place }))),
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                let error = error.into_error();
                // hyper does not give back one that waits in h2 for room when a goodbye
                // comes; most likely it was not sent.
                let unsure = is_safe && error.is_canceled();
                let untaken = unsent || unsure || was_not_taken(&error);
                let error = Cause::new(error);
                Err(match untaken {
                    true => Unsent::Untaken(error),
                    false => Unsent::Failed(error),
                })
            }
        }
    }

    fn for_http1(&self, request: &mut Request<RelayBody>) {
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host.clone());
        framing::announce(request);
    }

    /// The authority is a part of the target there.
    fn for_http2(&self, request: &mut Request<RelayBody>) {
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
        let mut target = std::mem::take(request.uri_mut()).into_parts();
        target.scheme = Some(self.scheme.clone());
        target.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    }
}

/// It cannot be sent again.
#[derive(Debug, Error)]
#[error(
    "the API server closed the connection before it looked at the request, whose body is too large \
     to be sent again"
)]
struct TooMuch;

/// Whoever answers ends each connection.
#[derive(Debug, Error)]
#[error("the API server closed each connection before it looked at the request")]
struct Overtaken;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
