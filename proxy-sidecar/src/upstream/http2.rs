//! Connections over HTTP/2: one carries as many requests as its server lets it, then
//! another is opened.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use http_relay::RelayBody;
use http_relay::body::error_chain;
use http_relay::h2_error::{is_goodbye, is_refused};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use service_kit::metrics::Counted;
use service_kit::tasks::Spawner;
use service_kit::write_stall::WriteStall;
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::dial::{Dialled, Io};

/// The API server's own bound, and so one for servers that have none.
const STREAMS: usize = 100;
/// Until the server has told its settings, which it does at once.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(10);
const SETTINGS_LOOK: Duration = Duration::from_millis(1);
/// An answer's header lines, bytes: as tunnel-client's.
const HEADER_LIST: u32 = 1024 * 1024;
/// As client-go: silence is asked after, and who does not answer is dead.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// All that are open.
#[derive(Clone)]
pub(super) struct Pool {
    connections: Arc<Mutex<Vec<Arc<Connection>>>>,
    stream_window: u32,
}

struct Connection {
    sender: SendRequest<RelayBody>,
    open: AtomicUsize,
    /// The server's bound, as soon as it has told one.
    most: Arc<AtomicUsize>,
    /// Of the certificates that it was made with.
    generation: u64,
    unused: Mutex<Instant>,
    _counted: Counted,
}

/// A stream's place on its connection, until all who hold it have dropped it: the body
/// of the request, too, may be the last.
#[derive(Clone)]
pub(super) struct Place(Arc<Taken>);

struct Taken(Arc<Connection>);

/// The connection is of no use.
#[derive(Debug, Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    #[error("it ended before it told its settings")]
    Ended,
    #[error("the server lets no request in within {} s", SETTINGS_TIMEOUT.as_secs())]
    NoRoom,
}

impl Pool {
    /// `stream_window`, bytes, is what a reader that stands still may hold of an answer.
    pub(super) fn new(stream_window: u32) -> Self {
        Self {
            connections: Arc::default(),
            stream_window,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is any, be it full.
    pub(super) fn is_open(&self, generation: u64) -> bool {
        let connections = self.lock();
        let open = |one: &Arc<Connection>| one.generation == generation && !one.sender.is_closed();
        connections.iter().any(open)
    }

    /// A place on a connection with room, made with certificates of this generation;
    /// the fullest, so that the others grow empty and are closed.
    pub(super) fn take(&self, generation: u64) -> Option<Place> {
        let mut connections = self.lock();
        // Streams on an older one go on, and hold it.
        connections.retain(|one| one.generation == generation && !one.sender.is_closed());
        let roomy = connections.iter().filter(|one| one.has_room());
        let fullest = roomy.max_by_key(|one| one.open.load(Ordering::Relaxed))?;
        fullest.open.fetch_add(1, Ordering::Relaxed);
        Some(Place(Arc::new(Taken(fullest.clone()))))
    }

    /// Closes those that nobody used for that long.
    pub(super) fn close_older(&self, age: Duration) {
        let mut connections = self.lock();
        connections.retain(|one| !one.sender.is_closed() && !one.is_unused(age));
    }

    /// Speaks HTTP/2 on a connection, and has it from now on.
    pub(super) async fn add(
        &self,
        dialled: Dialled,
        counted: Counted,
        tasks: &Spawner,
    ) -> Result<(), Unusable> {
        let generation = dialled.generation;
        let handshake = self.builder(tasks).handshake(dialled.io).await;
        let (sender, mut driver) = handshake?;
        let told = timeout(SETTINGS_TIMEOUT, settings(&mut driver)).await;
        let most = told.map_err(|_| Unusable::NoRoom)??;
        let most = Arc::new(AtomicUsize::new(most));
        let told = most.clone();
        // Ends at the server's goodbye already, while streams go on: they are hyper's
        // own task. Each request passes it, and so it learns of other settings.
        tasks.spawn(async move {
            let driven = poll_fn(|cx| {
                let driven = Pin::new(&mut driver).poll(cx);
                if driven.is_pending() {
                    told.store(driver.current_max_send_streams(), Ordering::Relaxed);
                }
                driven
            });
            if let Err(error) = driven.await {
                let error = error_chain(&error);
                tracing::info!(error, "a connection to the API server broke");
            }
        });
        let connection = Connection {
            sender,
            open: AtomicUsize::new(0),
            most,
            generation,
            unused: Mutex::new(Instant::now()),
            _counted: counted,
        };
        let mut connections = self.lock();
        connections.push(Arc::new(connection));
        Ok(())
    }
}

impl Pool {
    fn builder(&self, tasks: &Spawner) -> http2::Builder<Spawner> {
        // No number of stalled readers keeps the others' bytes back.
        let all_windows = self.stream_window * (STREAMS as u32 + 1);
        let mut builder = http2::Builder::new(tasks.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(self.stream_window)
            .initial_connection_window_size(all_windows)
            .max_header_list_size(HEADER_LIST)
            // None until its settings are there.
            .initial_max_send_streams(0)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT);
        builder
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed).min(STREAMS);
        self.open.load(Ordering::Relaxed) < most
    }

    fn is_unused(&self, age: Duration) -> bool {
        let since = *self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.load(Ordering::Relaxed) == 0 && since.elapsed() >= age
    }
}

impl Place {
    pub(super) fn sender(&self) -> SendRequest<RelayBody> {
        self.0.0.sender.clone()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut unused = self.0.unused.lock().unwrap_or_else(PoisonError::into_inner);
        *unused = Instant::now();
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the server says that it has not looked at a request: by the last stream
/// that its goodbye names, or by the reason for which it refuses the stream (RFC 9113,
/// sections 6.8 and 8.7).
pub(super) fn was_not_taken(error: &hyper::Error) -> bool {
    is_goodbye(error) || is_refused(error)
}

type Driver = http2::Connection<TokioIo<WriteStall<Box<dyn Io>>>, RelayBody, Spawner>;

/// Waits for the server's settings; gives how many streams it lets in. Before them a
/// request would wait in h2 where it fits in no more, and nobody would be told.
async fn settings(driver: &mut Driver) -> Result<usize, Unusable> {
    loop {
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *driver).poll(cx))).await;
        if let Poll::Ready(ended) = polled {
            ended?;
            return Err(Unusable::Ended);
        }
        match driver.current_max_send_streams() {
            // h2's connection is hyper's own task, which tells nobody.
            0 => sleep(SETTINGS_LOOK).await,
            most => return Ok(most),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use http::{Request, Response};
    use prometheus_client::metrics::gauge::Gauge;
    use service_kit::tasks::Tasks;
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use bytes::Bytes;

    fn pool() -> Pool {
        Pool::new(1024 * 1024)
    }

    /// A server that lets so many streams in.
    async fn connected(pool: &Pool, tasks: &Spawner, most: u32) -> Server {
        let (here, there) = duplex(64 * 1024);
        let dialled = Dialled {
            io: TokioIo::new(WriteStall::new(Box::new(here), PING_AFTER)),
            is_http2: true,
            generation: 1,
        };
        let counted = Counted::new(&Gauge::default());
        let mut server = h2::server::Builder::new();
        server.max_concurrent_streams(most);
        let (added, server) =
            tokio::join!(pool.add(dialled, counted, tasks), server.handshake(there));
        added.unwrap();
        server.unwrap()
    }

    type Server = h2::server::Connection<DuplexStream, Bytes>;

    fn get() -> Request<RelayBody> {
        let mut request = Request::new(http_relay::body::empty());
        *request.uri_mut() = "https://a.example/".parse().unwrap();
        request
    }

    /// A server that takes a request, begins to answer, and is never heard of again.
    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_found_dead_in_45_s() {
        let (pool, tasks) = (pool(), Tasks::new());
        let mut server = connected(&pool, &tasks.spawner(), 100).await;
        let place = pool.take(1).unwrap();
        let server = async {
            let (_, mut answer) = server.accept().await.unwrap().unwrap();
            let _body = answer.send_response(Response::new(()), false).unwrap();
            // Until the head is sent, and not a moment longer.
            let sent = poll_fn(|cx| server.poll_closed(cx));
            drop(tokio::time::timeout(Duration::from_millis(1), sent).await);
            pending::<()>().await;
        };
        let asking = async {
            let mut sender = place.sender();
            let answer = sender.send_request(get()).await.unwrap();
            let begun = tokio::time::Instant::now();
            let body = http_relay::Inbound::new(answer.into_body(), http::Version::HTTP_2);
            let ended = http_body_util::BodyExt::collect(body).await;
            assert!(ended.is_err(), "it must not look like an end");
            begun.elapsed()
        };
        let took = tokio::select! {
            took = asking => took,
            () = server => unreachable!(),
        };
        let bound = PING_AFTER + PING_TIMEOUT;
        assert!(took <= bound + Duration::from_secs(1), "{took:?}");
        assert!(pool.take(1).is_none());
    }

    #[tokio::test]
    async fn a_full_connection_takes_no_more_and_others_certificates_none() {
        let (pool, tasks) = (pool(), Tasks::new());
        // A server's own bound counts where it is the lower one.
        let _there = connected(&pool, &tasks.spawner(), 7).await;
        let places: Vec<_> = (0..7).map(|_| pool.take(1).unwrap()).collect();
        assert!(pool.take(1).is_none() && pool.is_open(1));
        let _second = connected(&pool, &tasks.spawner(), 1000).await;
        let second = pool.take(1).unwrap();
        drop(places);
        // The fullest is used.
        let third = pool.take(1).unwrap();
        assert!(Arc::ptr_eq(&second.0.0, &third.0.0));
        pool.close_older(Duration::ZERO);
        drop((second, third));
        assert!(pool.take(1).is_some());
        assert!(pool.take(2).is_none());
    }
}
