//! Connections to the sidecar, over HTTP/1.1: one carries one request at a time, and is
//! kept for the next. Not hyper-util's pool, which starts a task for each request only to
//! take its connection back.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_relay::RelayBody;
use http_relay::body::error_chain;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use service_kit::tasks::Tasks;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tunnel_protocol::limits::HEADER_LINES;

/// Below what the sidecar allows, so that this side closes idle connections.
const IDLE: Duration = Duration::from_secs(30);
/// Above what is open at once in ordinary use. Beyond it a connection is
/// closed after its answer and another opened for the next request: with 64 the
/// chain answered half as much at 256 requests at once (`bench/NOTES.md`).
const MOST_IDLE: usize = 1024;

/// The connections, of whatever kind those are.
pub(crate) struct Connections {
    open: Box<dyn Fn() -> Opening + Send + Sync>,
    idle: Idle,
    /// Idle connections too: they end with this, and no drain waits for them.
    tasks: Tasks,
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, SendFault>> + Send>>;

struct Opened {
    sender: SendRequest<RelayBody>,
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
}

/// Why a request got no answer.
#[derive(Debug, Error)]
pub(crate) enum SendFault {
    /// There is no connection.
    #[error(transparent)]
    Open(#[from] io::Error),
    /// There was one.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// Those that carry nothing now. The last used is used next, so that the others grow
/// old and are closed.
#[derive(Clone, Default)]
struct Idle(Arc<Mutex<Vec<Kept>>>);

struct Kept {
    sender: SendRequest<RelayBody>,
    since: Instant,
}

pin_project_lite::pin_project! {
    /// An answer's body, which keeps its connection from other requests until it ends.
    /// Dropped before, it closes it.
    pub(crate) struct Answer {
        #[pin]
        body: Incoming,
        held: Option<(SendRequest<RelayBody>, Idle)>,
    }
}

impl Connections {
    /// Makes them by `dial`.
    pub(crate) fn new<D, F, T>(dial: D) -> Self
    where
        D: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let open = move || -> Opening {
            let dialled = dial();
            Box::pin(async { handshake(dialled.await?).await })
        };
        let (tasks, idle) = (Tasks::new(), Idle::default());
        let ageing = idle.clone();
        tasks.spawner().spawn(async move {
            loop {
                sleep(IDLE / 2).await;
                ageing.close_older(IDLE);
            }
        });
        Self {
            open: Box::new(open),
            idle,
            tasks,
        }
    }

    /// Sends a request, whose target is a path, and gives the head of its answer.
    ///
    /// # Errors
    /// [`SendFault`].
    pub(crate) async fn send(
        &self,
        mut request: Request<RelayBody>,
    ) -> Result<Response<Answer>, SendFault> {
        while let Some(mut sender) = self.idle.take() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.answer(response, sender)),
                // The sidecar has just closed it, as it may.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let Opened { mut sender, driver } = (self.open)().await?;
        self.tasks.spawner().spawn(async {
            if let Err(error) = driver.await {
                let error = error_chain(&error);
                tracing::debug!(error, "a connection to the sidecar ended");
            }
        });
        let response = sender.send_request(request).await?;
        Ok(self.answer(response, sender))
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        sender: SendRequest<RelayBody>,
    ) -> Response<Answer> {
        let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        response.map(|body| {
            let mut held = (!is_switched).then(|| (sender, self.idle.clone()));
            if body.is_end_stream() {
                give_back(&mut held);
            }
            Answer { body, held }
        })
    }
}

async fn handshake<T>(stream: T) -> Result<Opened, SendFault>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(HEADER_LINES)
        .handshake(TokioIo::new(stream))
        .await?;
    let driver = Box::pin(connection.with_upgrades());
    Ok(Opened { sender, driver })
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that can take a request at once: some may still be writing a request that was
    /// answered early.
    fn take(&self) -> Option<SendRequest<RelayBody>> {
        let mut kept = self.lock();
        for at in (0..kept.len()).rev() {
            let Kept { sender, since } = kept.get(at)?;
            if sender.is_closed() || since.elapsed() >= IDLE {
                kept.remove(at);
            } else if sender.is_ready() {
                return Some(kept.remove(at).sender);
            }
        }
        None
    }

    fn close_older(&self, age: Duration) {
        let fresh = |one: &Kept| !one.sender.is_closed() && one.since.elapsed() < age;
        self.lock().retain(fresh);
    }
}

fn give_back(held: &mut Option<(SendRequest<RelayBody>, Idle)>) {
    if let Some((sender, idle)) = held.take() {
        let mut kept = idle.lock();
        if kept.len() < MOST_IDLE {
            let since = Instant::now();
            kept.push(Kept { sender, since });
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            Some(Err(_)) => drop(this.held.take()),
            // Nobody asks once more who sees that it has ended, or behind trailers.
            Some(Ok(frame)) if frame.is_data() && !this.body.is_end_stream() => {}
            Some(Ok(_)) | None => give_back(this.held),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
