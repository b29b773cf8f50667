//! A lane keeps one link: tries until there is one, serves it, and goes on to the
//! next when it ends or drains.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::handshake::Hello;

use crate::attempt::{AttemptError, attempt};
use crate::backoff::{Backoff, HEALTHY};
use crate::control::LinkEvent;
use crate::dial::Dial;
use crate::fleet::Member;
use crate::handshake::{Carried, HandshakeError, RefusedForGood};
use crate::idle_cuts::IdleCuts;
use crate::link_stats::LinkStats;
use crate::metrics::Attempt;
use crate::public_urls::shown;
use crate::served::{Served, Superseded};
use crate::shared::Shared;
use crate::steps::Steps;

/// The longest that a server may ask us to wait, or to keep a draining link.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Whatever a drain's deadline is, links that die young are this far apart, but
/// for the jitter.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// What becomes of a lane after a link.
enum Next {
    DialAfter(Duration),
    Enough,
}

/// Keeps one link.
pub(crate) struct Lane {
    number: u8,
    shared: Arc<Shared>,
    /// In turn, as they fail.
    dialers: Vec<Arc<dyn Dial>>,
    /// Whether each one's server said last that it refuses for good.
    refused: Vec<bool>,
    turn: usize,
    backoff: Backoff,
    idle_cuts: IdleCuts,
    /// For looks in vain for another replica.
    looks: Backoff,
    /// The link whose server asked for another.
    superseded: Option<Superseded>,
}

impl Lane {
    /// Has tried nothing yet. There is a dialer at least.
    pub(crate) fn new(number: u8, shared: Arc<Shared>, dialers: Vec<Arc<dyn Dial>>) -> Self {
        Self {
            number,
            backoff: shared.config.backoff.clone(),
            looks: shared.config.backoff.slower(),
            idle_cuts: IdleCuts::default(),
            shared,
            refused: vec![false; dialers.len()],
            dialers,
            turn: 0,
            superseded: None,
        }
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Keeps a link until `enough`; what that carries goes on then. To be called again
    /// after an error.
    ///
    /// # Errors
    /// [`RefusedForGood`], by all servers of the lane.
    pub(crate) async fn keep(&mut self, enough: &CancellationToken) -> Result<(), RefusedForGood> {
        self.keep_on(enough).await?;
        // Nobody comes after it.
        self.release();
        Ok(())
    }

    async fn keep_on(&mut self, enough: &CancellationToken) -> Result<(), RefusedForGood> {
        loop {
            let (connection, member) = tokio::select! {
                linked = self.linked() => linked?,
                () = enough.cancelled() => return Ok(()),
            };
            let Next::DialAfter(wait) = self.serve(connection, member, enough).await else {
                return Ok(());
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = enough.cancelled() => return Ok(()),
            }
        }
    }

    /// Tries until there is a link.
    async fn linked(&mut self) -> Result<(Carried, Member), RefusedForGood> {
        loop {
            let stats = LinkStats::new(self.number, self.shared.fleet.next_generation());
            let hello = self.hello(stats.generation);
            let dialer = self.dialer();
            let server = dialer.server().to_string();
            let (metrics, told) = (&self.shared.metrics, &self.shared.told);
            let (token, steps) = (&self.shared.config.token, Steps::default());
            let error = match attempt(dialer.as_ref(), token, &hello, &steps).await {
                Ok(connection) => {
                    told.went_well(&server, &steps);
                    self.not_refused();
                    return Ok((connection, self.shared.fleet.join(stats)));
                }
                Err(AttemptError::Handshake(HandshakeError::ForGood(refused))) => {
                    metrics.attempt(Attempt::Refused);
                    let by_all = self.refused_by_all();
                    self.turn += 1;
                    if by_all {
                        return Err(refused);
                    }
                    let wait = self.backoff.next_wait(rand::random());
                    tracing::error!(server, lane = self.number, %refused, next_try_ms = wait.as_millis() as u64, "this server refuses the connector; trying another one");
                    sleep(wait).await;
                    continue;
                }
                Err(AttemptError::Handshake(HandshakeError::Linked)) => {
                    self.not_refused();
                    sleep(self.look_again()).await;
                    continue;
                }
                Err(error) => error,
            };
            metrics.attempt(Attempt::Failed);
            let is_news = told.failed(&server, &steps, &error.to_string());
            let asked = match &error {
                AttemptError::Handshake(HandshakeError::Later { after, .. }) => {
                    after.unwrap_or_default()
                }
                _ => Duration::ZERO,
            };
            self.turn += 1;
            let wait = asked.min(LONGEST_ASKED) + self.backoff.next_wait(rand::random());
            let (proxy, step) = (dialer.proxy(), steps.last().name());
            let next_try_ms = wait.as_millis() as u64;
            if is_news {
                tracing::warn!(server, proxy, step, lane = self.number, %error, next_try_ms, "no link");
            } else {
                tracing::debug!(server, proxy, step, lane = self.number, %error, next_try_ms, "no link");
            }
            sleep(wait).await;
        }
    }

    fn hello(&self, generation: u64) -> Hello {
        Hello {
            instance: self.shared.instance.clone(),
            lane: self.number,
            generation,
            linked: self.shared.fleet.linked_by_others(self.number),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            subdomain: self.shared.config.subdomain.clone(),
            check: false,
        }
    }

    fn dialer(&self) -> Arc<dyn Dial> {
        self.dialers[self.place()].clone()
    }

    /// Of the dialer whose turn it is.
    fn place(&self) -> usize {
        self.turn % self.dialers.len().max(1)
    }

    /// The server whose turn it is refuses for good; tells whether all do.
    fn refused_by_all(&mut self) -> bool {
        let place = self.place();
        self.refused[place] = true;
        self.refused.iter().all(|refused| *refused)
    }

    /// The server whose turn it is knows the token.
    fn not_refused(&mut self) {
        let place = self.place();
        self.refused[place] = false;
        self.shared.fleet.not_refused(self.number);
    }

    async fn serve(
        &mut self,
        connection: Carried,
        member: Member,
        enough: &CancellationToken,
    ) -> Next {
        let started = Instant::now();
        let mut served = Served::start(
            &self.shared,
            connection,
            member,
            self.idle_cuts.ping_every(),
        );
        let mut because = None;
        loop {
            tokio::select! {
                Some(event) = served.events.recv() => match event {
                    // A server says it once; what more it says is nobody's news.
                    LinkEvent::Registered { .. } if served.registered.is_cancelled() => {}
                    LinkEvent::Registered { urls, replica, replicas } => {
                        served.registered.cancel();
                        if !served.member.serve(replica.clone(), replicas) {
                            // Both dialled at the same time.
                            served.drain.cancel();
                            self.grows_old(&served);
                            return Next::DialAfter(self.look_again());
                        }
                        self.registered(&mut served, urls, &replica);
                    }
                    LinkEvent::Drain { reconnect_in, deadline } => {
                        tracing::info!(lane = self.number, reconnect_in_ms = reconnect_in.as_millis() as u64, "the server drains");
                        let pause = self.after_drain(started.elapsed(), deadline);
                        self.supersede(served, deadline.min(LONGEST_ASKED));
                        return Next::DialAfter(reconnect_in.min(LONGEST_ASKED) + pause);
                    }
                    LinkEvent::Unreadable => {
                        let wait = self.after_loss(started.elapsed());
                        served.cut_now.cancel();
                        return Next::DialAfter(wait);
                    }
                    LinkEvent::Silent => {
                        because = Some("a ping was not answered");
                        served.cut_now.cancel();
                    }
                },
                reason = &mut served.end => {
                    if served.registered.is_cancelled() {
                        self.idle_cuts.ended(started.elapsed());
                    } else {
                        self.shared.metrics.attempt(Attempt::Failed);
                    }
                    drop(served.counted);
                    let wait = self.after_loss(started.elapsed());
                    let reason = because.map_or_else(|| reason.unwrap_or_default(), str::to_owned);
                    tracing::warn!(lane = self.number, reason, next_try_ms = wait.as_millis() as u64, "the link ended");
                    return Next::DialAfter(wait);
                }
                () = enough.cancelled() => {
                    served.member.stand_down();
                    served.drain.cancel();
                    self.grows_old(&served);
                    return Next::Enough;
                }
            }
        }
    }

    /// It carries what it has, and no more.
    fn grows_old(&self, served: &Served) {
        let (cut_now, max_links) = (served.cut_now.clone(), self.shared.config.max_links);
        let old_links = &self.shared.old_links;
        old_links.add(&served.member, cut_now, max_links);
    }

    fn registered(&mut self, served: &mut Served, urls: Vec<String>, replica: &str) {
        self.shared.metrics.attempt(Attempt::Linked);
        self.looks = self.shared.config.backoff.slower();
        served.counted = Some(self.shared.metrics.registered_link());
        let server = self.dialer();
        tracing::info!(server = %server.server(), lane = self.number, replica, "linked");
        self.announce(urls);
        self.release();
    }

    /// Make before break: now the old link may go.
    fn release(&mut self) {
        if let Some(old) = self.superseded.take() {
            old.drain.cancel();
        }
    }

    /// Another lane leads to this replica already: a link more would help nobody. The
    /// name may lead elsewhere the next time. Where the other replica stays away, few
    /// look for it at a time, as all come to the one that is left.
    fn look_again(&mut self) -> Duration {
        self.shared.metrics.attempt(Attempt::Doubled);
        self.turn += 1;
        let wait = self.looks.next_wait(rand::random());
        tracing::info!(
            lane = self.number,
            next_try_ms = wait.as_millis() as u64,
            "this replica has a link of ours already; looking for another one"
        );
        wait
    }

    /// The link goes on with what it carries, until `deadline` at most, and is the
    /// cluster's until there is another one.
    fn supersede(&mut self, served: Served, deadline: Duration) {
        served.member.stand_down();
        self.grows_old(&served);
        if served.cut_after.send(deadline).is_err() {
            tracing::debug!("the drained link has ended already");
        }
        let superseded = Superseded {
            drain: served.drain,
            _counted: served.counted,
        };
        if let Some(older) = self.superseded.replace(superseded) {
            older.drain.cancel();
        }
    }

    fn after_loss(&mut self, life: Duration) -> Duration {
        let spread = self.shared.config.spread;
        self.backoff.after_loss(life, spread, rand::random())
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
    fn announce(&self, urls: Vec<String>) {
        let urls = shown(urls);
        let announced = &self.shared.announced;
        let mut announced = announced.lock().unwrap_or_else(PoisonError::into_inner);
        if urls != *announced {
            for url in &urls {
                println!("your url is: {url}");
            }
            *announced = urls;
        }
    }
}
