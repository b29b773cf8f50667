//! Connections over HTTP/2: one carries as many requests as its server lets it, then
//! another is opened.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use h2::Reason;
use http_relay::RelayBody;
use http_relay::body::error_chain;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioTimer;
use service_kit::metrics::Counted;
use service_kit::tasks::Spawner;

use super::dial::Dialled;

/// The API server's own bound, and client-go's before the server has told its.
const STREAMS: usize = 100;
/// What a stalled reader can hold of one stream, bytes. At a round trip of 10 ms it
/// lets 100 MB pass in a second.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// No number of stalled readers keeps the others' bytes back.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS as u32 + 1);
/// As client-go: silence is asked after, and who does not answer is dead.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// All that are open.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Arc<Connection>>>>);

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

/// A stream's place on its connection, until it is dropped.
pub(super) struct Place(Arc<Connection>);

impl Pool {
    /// A place on a connection with room, made with certificates of this generation;
    /// the fullest, so that the others grow empty and are closed.
    pub(super) fn take(&self, generation: u64) -> Option<Place> {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Streams on an older one go on, and hold it.
        connections.retain(|one| one.generation == generation && !one.sender.is_closed());
        let roomy = connections.iter().filter(|one| one.has_room());
        let fullest = roomy.max_by_key(|one| one.open.load(Ordering::Relaxed))?;
        fullest.open.fetch_add(1, Ordering::Relaxed);
        Some(Place(fullest.clone()))
    }

    /// Closes those that nobody used for that long.
    pub(super) fn close_older(&self, age: Duration) {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|one| !one.sender.is_closed() && !one.is_unused(age));
    }

    /// Speaks HTTP/2 on a connection, and has it from now on.
    pub(super) async fn add(
        &self,
        dialled: Dialled,
        counted: Counted,
        tasks: &Spawner,
    ) -> Result<(), hyper::Error> {
        let generation = dialled.generation;
        let handshake = builder(tasks).handshake(dialled.io).await;
        let (sender, mut driver) = handshake?;
        let most = Arc::new(AtomicUsize::new(STREAMS));
        let told = most.clone();
        // Ends at the server's goodbye already, while streams go on: they are hyper's
        // own task.
        tasks.spawn(async move {
            let driven = poll_fn(|cx| {
                let driven = Pin::new(&mut driver).poll(cx);
                if driven.is_pending() {
                    let most = driver.current_max_send_streams();
                    told.store(most.min(STREAMS), Ordering::Relaxed);
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
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.push(Arc::new(connection));
        Ok(())
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        // A server that lets none in gets one all the same: it says so, or waits.
        let most = self.most.load(Ordering::Relaxed).max(1);
        self.open.load(Ordering::Relaxed) < most
    }

    fn is_unused(&self, age: Duration) -> bool {
        let since = *self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.load(Ordering::Relaxed) == 0 && since.elapsed() >= age
    }
}

impl Place {
    pub(super) fn sender(&self) -> SendRequest<RelayBody> {
        self.0.sender.clone()
    }
}

impl Drop for Place {
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
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|error: &h2::Error| {
        let goodbye = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        error.is_remote() && (goodbye || refused)
    })
}

fn builder(tasks: &Spawner) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(tasks.clone());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(1024 * 1024)
        .initial_max_send_streams(STREAMS)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use http::{Request, Response};
    use hyper_util::rt::TokioIo;
    use prometheus_client::metrics::gauge::Gauge;
    use service_kit::tasks::Tasks;
    use service_kit::write_stall::WriteStall;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    async fn connected(pool: &Pool, tasks: &Spawner) -> DuplexStream {
        let (here, there) = duplex(64 * 1024);
        let dialled = Dialled {
            io: TokioIo::new(WriteStall::new(Box::new(here), PING_AFTER)),
            is_http2: true,
            generation: 1,
        };
        let counted = Counted::new(&Gauge::default());
        pool.add(dialled, counted, tasks).await.unwrap();
        there
    }

    fn get() -> Request<RelayBody> {
        let mut request = Request::new(http_relay::body::empty());
        *request.uri_mut() = "https://a.example/".parse().unwrap();
        request
    }

    /// A server that takes a request, begins to answer, and is never heard of again.
    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_found_dead_in_45_s() {
        let (pool, tasks) = (Pool::default(), Tasks::new());
        let there = connected(&pool, &tasks.spawner()).await;
        let place = pool.take(1).unwrap();
        let server = async {
            let mut server = h2::server::handshake(there).await.unwrap();
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
        let (pool, tasks) = (Pool::default(), Tasks::new());
        let _there = connected(&pool, &tasks.spawner()).await;
        let places: Vec<_> = (0..STREAMS).map(|_| pool.take(1).unwrap()).collect();
        assert!(pool.take(1).is_none());
        let _second = connected(&pool, &tasks.spawner()).await;
        let second = pool.take(1).unwrap();
        drop(places);
        // The fullest is used.
        let third = pool.take(1).unwrap();
        assert!(Arc::ptr_eq(&second.0, &third.0));
        pool.close_older(Duration::ZERO);
        drop((second, third));
        assert!(pool.take(1).is_some());
        assert!(pool.take(2).is_none());
    }
}
