//! What all loads share, and the rounds in which they measure.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use integration::slow_path::{SlowPath, Way};
use local_kubernetes::process::Spawner;

use super::{Case, Measure};
use crate::generator::Entry;
use crate::generator::closed_loop::Times;
use crate::lean::origin::Origin;
use crate::peers::{Peer, Programs, Tunnel};
use crate::results::{Report, Table};

/// A measurement that takes longer than its own time by this has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Before each: what the last one has left to do is not to meet it.
const SETTLES: Duration = Duration::from_millis(50);

/// A peer whose programs are there.
pub struct Ready {
    pub peer: Box<dyn Peer>,
    pub programs: Programs,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Over all cases of a table; every second in the other direction.
    pub rounds: usize,
    pub times: Times,
    pub quick: bool,
}

pub struct Stage<'a> {
    pub spawner: &'a Spawner,
    pub ready: &'a [Ready],
    pub origin: &'a Origin,
    pub effort: Effort,
}

impl<'a> Stage<'a> {
    /// The direct connection and a new tunnel of each peer.
    pub(super) async fn cases(&self) -> Result<Vec<Case<'a>>> {
        self.cases_over(None).await
    }

    /// The same over a long way.
    pub(super) async fn cases_over(&self, way: Option<Way>) -> Result<Vec<Case<'a>>> {
        let direct = match way {
            None => Case::direct(Entry::plain(self.origin.address)),
            Some(way) => {
                let path = SlowPath::start(self.origin.address, way).await?;
                Case::direct(Entry::plain(path.address)).with(path)
            }
        };
        let mut cases = vec![direct];
        for ready in self.ready {
            let name = ready.peer.about().name;
            let case = match (way, ready.peer.stays_near()) {
                (Some(_), Some(reason)) => Case::failed(name, reason.to_owned()),
                _ => self.case(ready, self.origin.address, way).await,
            };
            cases.push(case);
        }
        Ok(cases)
    }

    /// A tunnel; one that does not start is a case that says so.
    pub(super) async fn case(
        &self,
        ready: &'a Ready,
        upstream: SocketAddr,
        way: Option<Way>,
    ) -> Case<'a> {
        let name = ready.peer.about().name;
        let peer = ready.peer.as_ref();
        let tunnel = Tunnel::start(peer, &ready.programs, self.spawner, upstream, 1, way).await;
        match tunnel.and_then(|tunnel| Case::tunnel(name, tunnel)) {
            Ok(case) => case,
            Err(error) => Case::failed(name, format!("{error:#}")),
        }
    }

    /// Measures every case once a round, A B C, then C B A, …, and adds the table. One
    /// that fails is not asked again; `measure` gives a value for each of `measures`.
    pub(super) async fn table(
        &self,
        report: &mut Report,
        title: &str,
        measures: &[Measure],
        cases: &[Case<'_>],
        mut measure: impl AsyncFnMut(&Case<'_>) -> Result<Vec<f64>>,
    ) {
        let names = cases.iter().map(|case| case.name.clone());
        let mut table = Table::new(title, measures, names);
        let times = self.effort.times;
        let within = times.warm_up + times.time + DEADLINE;
        for round in 0..self.effort.rounds {
            let mut order: Vec<usize> = (0..cases.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for number in order {
                let case = &cases[number];
                if table.has_failed(number) {
                    continue;
                }
                tokio::time::sleep(SETTLES).await;
                eprintln!("{title}, round {}: {}", round + 1, case.name);
                let measured = match &case.failed {
                    Some(reason) => Err(anyhow::anyhow!("{reason}")),
                    None => tokio::time::timeout(within, measure(case))
                        .await
                        .with_context(|| format!("took longer than {} s", within.as_secs()))
                        .flatten(),
                };
                match measured {
                    Ok(values) => table.add(number, &values),
                    Err(error) => table.fail(number, format!("{error:#}")),
                }
            }
        }
        report.add(table);
    }
}
