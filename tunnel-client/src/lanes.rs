//! Decides how many links there are: one to each of two replicas of the server, and
//! more where those carry much. Each has a lane, which keeps it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::limits::LANES;

use crate::dial::Dial;
use crate::fleet::REPLICAS;
use crate::handshake::RefusedForGood;
use crate::lane::Lane;
use crate::shared::Shared;

/// How often all this is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A lane that has ended, as it was refused or is wanted no more.
type Ended = (Lane, Result<(), RefusedForGood>);
type Running = Pin<Box<dyn Future<Output = Ended>>>;

/// The lanes that run.
pub(crate) struct Lanes {
    shared: Arc<Shared>,
    dialers: Vec<Arc<dyn Dial>>,
    running: FuturesUnordered<Running>,
    /// Of each that runs, what ends it.
    enough: [Option<CancellationToken>; LANES as usize],
    /// Since when links that were added under load are not needed.
    quiet: Option<Instant>,
}

impl Lanes {
    /// One dialer for each server that was named.
    pub(crate) fn new(shared: Arc<Shared>, dialers: Vec<Arc<dyn Dial>>) -> Self {
        Self {
            shared,
            dialers,
            running: FuturesUnordered::new(),
            enough: Default::default(),
            quiet: None,
        }
    }

    /// Only returns when the server refuses for good, and no link is left.
    pub(crate) async fn keep(&mut self) -> RefusedForGood {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.start(0);
        loop {
            tokio::select! {
                Some((lane, ended)) = self.running.next() => {
                    if let Err(refused) = self.ended(lane, ended) {
                        return refused;
                    }
                }
                _ = looks.tick() => self.look(),
            }
        }
    }

    fn start(&mut self, number: u8) {
        let mut dialers = self.dialers.clone();
        // Two servers have a lane each; of more, a lane has every other one.
        if self.shared.config.max_links > 1 && dialers.len() > 1 {
            let turn = usize::from(number % REPLICAS);
            let own = dialers.into_iter().skip(turn).step_by(REPLICAS.into());
            dialers = own.collect();
        }
        let lane = Lane::new(number, self.shared.clone(), dialers);
        self.resume(lane, Duration::ZERO);
    }

    fn resume(&mut self, mut lane: Lane, after: Duration) {
        let enough = CancellationToken::new();
        if let Some(place) = self.enough.get_mut(usize::from(lane.number())) {
            *place = Some(enough.clone());
        }
        self.running.push(Box::pin(async move {
            sleep(after).await;
            let ended = lane.keep(&enough).await;
            (lane, ended)
        }));
    }

    fn ended(
        &mut self,
        lane: Lane,
        ended: Result<(), RefusedForGood>,
    ) -> Result<(), RefusedForGood> {
        if let Some(place) = self.enough.get_mut(usize::from(lane.number())) {
            *place = None;
        }
        let fleet = &self.shared.fleet;
        let Err(refused) = ended else {
            fleet.not_refused(lane.number());
            return Ok(());
        };
        fleet.refused(lane.number());
        let others = self.enough.iter().flatten().count();
        // Of those that run, as this one did.
        if !fleet.serves() && fleet.refused_count() > others {
            return Err(refused);
        }
        // One replica may not know yet what another does.
        let after = self.shared.config.backoff.cap();
        tracing::error!(%refused, next_try_ms = after.as_millis() as u64, "one server refuses this connector, and another may serve it");
        self.resume(lane, after);
        Ok(())
    }

    fn look(&mut self) {
        let most = usize::from(self.shared.config.max_links);
        let fleet = self.shared.fleet.clone();
        let named = self.dialers.len() > 1;
        let second = match fleet.replicas() {
            _ if most == 1 => Some(false),
            _ if named => Some(true),
            // Where no link is there, nobody says.
            replicas => replicas.map(|replicas| replicas > 1),
        };
        match (self.enough.get(1), second) {
            (Some(None), Some(true)) => self.start(1),
            (Some(Some(enough)), Some(false)) => enough.cancel(),
            _ => {}
        }
        let loads = fleet.loads();
        let links = self.enough.iter().flatten().count();
        let is_busy = loads
            .iter()
            .min()
            .is_some_and(|least| *least >= self.shared.config.busy);
        if is_busy && links < most.max(1) {
            self.add();
        } else {
            self.give_up(&loads);
        }
    }

    /// Another link for the load.
    fn add(&mut self) {
        self.quiet = None;
        if let Some(number) = (REPLICAS..LANES).find(|number| !self.runs(*number)) {
            tracing::info!(lane = number, "the links carry much; another one is added");
            self.start(number);
        }
    }

    /// Ends a link that was added, once the others could long carry all.
    fn give_up(&mut self, loads: &[i64]) {
        let last = (REPLICAS..LANES).rev().find(|number| self.runs(*number));
        let others = i64::try_from(loads.len()).unwrap_or(i64::MAX) - 1;
        let is_needed = loads.iter().sum::<i64>() >= others * self.shared.config.busy / 2;
        let Some(number) = last.filter(|_| !is_needed) else {
            self.quiet = None;
            return;
        };
        let since = *self.quiet.get_or_insert_with(Instant::now);
        if since.elapsed() < self.shared.config.quiet {
            return;
        }
        self.quiet = None;
        if let Some(Some(enough)) = self.enough.get(usize::from(number)) {
            enough.cancel();
        }
    }

    fn runs(&self, number: u8) -> bool {
        matches!(self.enough.get(usize::from(number)), Some(Some(_)))
    }
}
