//! The loop that keeps a link: tries until there is one, serves it, and goes on
//! to the next when it ends or drains.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::Upgraded;
use service_kit::metrics::Counted;
use service_kit::tasks::Tasks;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;

use crate::args::Config;
use crate::backoff::{Backoff, HEALTHY};
use crate::control::LinkEvent;
use crate::dial::{DialError, Dialer};
use crate::handshake::{HandshakeError, RefusedForGood, shake_hands};
use crate::link::{EVENTS, Link};
use crate::metrics::{Attempt, Metrics};
use crate::relay::Relay;
use crate::token_source::TokenSourceError;

/// The longest that a server may ask us to wait, or to keep a draining link.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// As many of its URLs as are shown: by hostname, by path, and for what may come.
const URLS: usize = 8;
/// Longest URL that is shown, bytes: two of the longest names there are.
const LONGEST_URL: usize = 512;

/// Links that end by themselves beside the one that serves. A rolling restart
/// leaves one, as each lasts for some minutes at most.
const OLD_LINKS: usize = 4;
/// Whatever a drain's deadline is, links that die young are this far apart, but
/// for the jitter.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Why an attempt gave no link.
#[derive(Debug, Error)]
enum AttemptError {
    #[error(transparent)]
    Token(#[from] TokenSourceError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("no answer within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
}

/// What the loop needs.
pub(crate) struct Linker {
    pub(crate) config: Config,
    pub(crate) dialer: Dialer,
    pub(crate) relay: Arc<Relay>,
    pub(crate) metrics: Metrics,
    pub(crate) hello: Hello,
    pub(crate) backoff: Backoff,
    /// The URLs that the user was told.
    pub(crate) announced: Vec<String>,
    /// Drains all links.
    pub(crate) draining: CancellationToken,
    /// The link whose server asked for another.
    pub(crate) superseded: Option<Superseded>,
    /// Cuts those that were superseded, the oldest first; some have ended.
    pub(crate) old_links: VecDeque<CancellationToken>,
    pub(crate) tasks: Tasks,
}

/// A link that serves until its successor is registered.
pub(crate) struct Superseded {
    drain: CancellationToken,
    /// Until then it counts: callers still come over it.
    _counted: Option<Counted>,
}

/// A link that is being served, as the loop sees it.
struct Served {
    events: mpsc::Receiver<LinkEvent>,
    /// Why it ended.
    end: oneshot::Receiver<String>,
    /// Cancelled when the server has registered it.
    registered: CancellationToken,
    /// Drains it.
    drain: CancellationToken,
    /// Cuts it after this time.
    cut_after: oneshot::Sender<Duration>,
    /// Cuts it at once.
    cut_now: CancellationToken,
}

impl Linker {
    /// Only returns when the server refuses for good.
    pub(crate) async fn keep(&mut self) -> RefusedForGood {
        loop {
            let connection = match self.linked().await {
                Ok(connection) => connection,
                Err(refused) => return refused,
            };
            let next_dial = self.serve(connection).await;
            sleep(next_dial).await;
        }
    }

    /// Tries until there is a link.
    async fn linked(&mut self) -> Result<Upgraded, RefusedForGood> {
        loop {
            self.hello.generation += 1;
            let attempt = timeout(HANDSHAKE_TIMEOUT, self.attempt())
                .await
                .unwrap_or(Err(AttemptError::Timeout));
            let error = match attempt {
                Ok(connection) => {
                    self.metrics.attempt(Attempt::Linked);
                    return Ok(connection);
                }
                Err(AttemptError::Handshake(HandshakeError::ForGood(refused))) => {
                    self.metrics.attempt(Attempt::Refused);
                    return Err(refused);
                }
                Err(error) => error,
            };
            self.metrics.attempt(Attempt::Failed);
            let asked = match &error {
                AttemptError::Handshake(HandshakeError::Later { after, .. }) => {
                    after.unwrap_or_default()
                }
                _ => Duration::ZERO,
            };
            let wait = asked.min(LONGEST_ASKED) + self.backoff.next_wait(rand::random());
            tracing::warn!(server = %self.dialer.server(), proxy = self.dialer.proxy(), %error, next_try_ms = wait.as_millis() as u64, "no link");
            sleep(wait).await;
        }
    }

    async fn attempt(&self) -> Result<Upgraded, AttemptError> {
        let token = self.config.token.read()?;
        let connection = self.dialer.dial().await?;
        let authority = self.dialer.server().authority();
        Ok(shake_hands(connection, &authority, &token, &self.hello).await?)
    }

    /// Returns the wait before the next dial, when it is time for one.
    async fn serve(&mut self, connection: Upgraded) -> Duration {
        let started = Instant::now();
        let mut served = self.start(connection);
        let mut counted = None;
        loop {
            tokio::select! {
                Some(event) = served.events.recv() => match event {
                    // A server says it once; what more it says is nobody's news.
                    LinkEvent::Registered { .. } if served.registered.is_cancelled() => {}
                    LinkEvent::Registered { urls, replica } => {
                        served.registered.cancel();
                        counted = Some(self.metrics.registered_link());
                        tracing::info!(server = %self.dialer.server(), replica, "linked");
                        self.announce(urls);
                        // Make before break: now the old link may go.
                        if let Some(old) = self.superseded.take() {
                            old.drain.cancel();
                        }
                    }
                    LinkEvent::Drain { reconnect_in, deadline } => {
                        tracing::info!(reconnect_in_ms = reconnect_in.as_millis() as u64, "the server drains");
                        let pause = self.after_drain(started.elapsed(), deadline);
                        if served.cut_after.send(deadline.min(LONGEST_ASKED)).is_err() {
                            tracing::debug!("the drained link has ended already");
                        }
                        let superseded = Superseded { drain: served.drain, _counted: counted };
                        if let Some(older) = self.superseded.replace(superseded) {
                            older.drain.cancel();
                        }
                        self.keep_few(served.cut_now);
                        return reconnect_in.min(LONGEST_ASKED) + pause;
                    }
                    LinkEvent::Unreadable => {
                        let wait = self.after_loss(started.elapsed());
                        served.cut_now.cancel();
                        return wait;
                    }
                },
                reason = &mut served.end => {
                    drop(counted);
                    let wait = self.after_loss(started.elapsed());
                    let reason = reason.unwrap_or_default();
                    tracing::warn!(reason, next_try_ms = wait.as_millis() as u64, "the link ended");
                    return wait;
                }
            }
        }
    }

    /// Serves the link in a task of its own, so that a drained one goes on beside
    /// its successor.
    fn start(&self, connection: Upgraded) -> Served {
        let (events, inbox) = mpsc::channel(EVENTS);
        let (ended, end) = oneshot::channel();
        let (cut_after, cut) = oneshot::channel();
        let (registered, drain) = (CancellationToken::new(), self.draining.child_token());
        let cut_now = CancellationToken::new();
        let served = Served {
            events: inbox,
            end,
            registered: registered.clone(),
            drain: drain.clone(),
            cut_after,
            cut_now: cut_now.clone(),
        };
        let serving =
            Link::new(self.relay.clone(), events).serve(connection, drain, self.config.drain);
        let overdue = async move {
            if timeout(HANDSHAKE_TIMEOUT, registered.cancelled())
                .await
                .is_ok()
            {
                std::future::pending().await
            }
        };
        let cut = async move {
            match cut.await {
                Ok(after) => sleep(after).await,
                Err(_) => std::future::pending().await,
            }
        };
        self.tasks.spawner().spawn(async move {
            let reason = tokio::select! {
                reason = serving => reason,
                () = overdue => "the server did not register it".to_owned(),
                () = cut => "cut at the server's drain deadline".to_owned(),
                () = cut_now.cancelled() => "cut by this side".to_owned(),
            };
            // The loop may have gone on to another link.
            drop(ended.send(reason));
        });
        served
    }

    /// The first attempt after a loss is spread, as a whole fleet may have lost
    /// its links; links that die young are backed off from.
    fn after_loss(&mut self, life: Duration) -> Duration {
        self.backoff.lived(life);
        let spread = self.config.spread.mul_f64(rand::random());
        if life < HEALTHY {
            spread + self.backoff.next_wait(rand::random())
        } else {
            spread
        }
    }

    /// A server that asks for one link after another gets no pile of them.
    fn keep_few(&mut self, old: CancellationToken) {
        self.old_links.push_back(old);
        if self.old_links.len() > OLD_LINKS
            && let Some(oldest) = self.old_links.pop_front()
        {
            oldest.cancel();
        }
    }

    /// A server that asks for another link as soon as there is one is backed off
    /// from; not so long that a good one's deadline passes meanwhile.
    fn after_drain(&mut self, life: Duration, deadline: Duration) -> Duration {
        self.backoff.lived(life);
        if life >= HEALTHY {
            return Duration::ZERO;
        }
        let pause = self.backoff.next_wait(rand::random());
        pause.min((deadline / 2).max(LEAST_PAUSE))
    }

    /// Says where the cluster is, as localtunnel does, whenever that changes.
    fn announce(&mut self, urls: Vec<String>) {
        let urls: Vec<_> = urls
            .into_iter()
            .filter(|url| is_shown(url))
            .take(URLS)
            .collect();
        if urls != self.announced {
            for url in &urls {
                println!("your url is: {url}");
            }
            self.announced = urls;
        }
    }
}

/// Whether a person is to see it: a server may be one that was taken over, and
/// what it says ends up in a terminal.
fn is_shown(url: &str) -> bool {
    let uri = url.parse::<http::Uri>();
    url.len() <= LONGEST_URL && uri.is_ok_and(|uri| uri.scheme_str() == Some("https"))
}
