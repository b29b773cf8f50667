//! Looks at each server's links, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tunnel_server::simulation::Owner;

use crate::faults::Excuses;
use crate::stage::{Process, SERVERS, Stage};

/// Lanes that lead to different replicas; the others come and go with the load.
const REPLICAS: u8 = 2;

/// What was seen last.
#[derive(Default)]
pub(crate) struct Owners {
    seen: [Vec<Owner>; 2],
    /// The newest generation that one server's process has registered of an instance's
    /// lane.
    newest: BTreeMap<(usize, u32, String, u8), u64>,
    /// Which instances had a link in which server's process.
    linked: BTreeSet<(usize, u32, String)>,
}

impl Owners {
    /// Of one instance's lane there is one link, and none is followed by an older one.
    /// And where nothing is wrong, a client that is linked stays so: a link that is to be
    /// replaced goes when its successor is there.
    pub(crate) fn look(&mut self, stage: &Stage, excuses: &Excuses, now: Duration) {
        self.take(stage);
        for (server, name) in SERVERS.iter().enumerate() {
            let links = stage.links(server);
            let owners = links.map(|links| links.owners()).unwrap_or_default();
            if !owners.is_empty() {
                stage.ledger.has_owner(server, now);
            }
            self.check(stage, server, &owners);
            if excuses.has(server, now, now) {
                self.linked.retain(|(of, ..)| *of != server);
            } else {
                self.check_stays(stage, server, &owners);
            }
            if owners == self.seen[server] {
                continue;
            }
            let shown = owners.iter().map(show).collect::<Vec<_>>().join(" ");
            stage.trace.tell_at(now, format_args!("{name} has {shown}"));
            self.seen[server] = owners;
        }
    }

    /// Notes what was registered since the last look.
    fn take(&mut self, stage: &Stage) {
        for link in stage.registrations.take() {
            let processes = [stage.server(0), stage.server(1)];
            let by = |process: &Process| process.runtime == Some(link.by);
            let Some(server) = processes.iter().position(by) else {
                continue;
            };
            let key = (server, processes[server].starts, link.instance, link.lane);
            let newest = self.newest.entry(key).or_default();
            *newest = link.generation.max(*newest);
        }
    }

    fn check(&self, stage: &Stage, server: usize, owners: &[Owner]) {
        let starts = stage.server(server).starts;
        for pair in owners.windows(2) {
            if (&pair[0].instance, pair[0].lane) == (&pair[1].instance, pair[1].lane) {
                let (one, other) = (show(&pair[0]), show(&pair[1]));
                let name = SERVERS[server];
                stage
                    .ledger
                    .fault(format!("{name} has two owners: {one} and {other}"));
            }
        }
        for owner in owners {
            let key = (server, starts, owner.instance.clone(), owner.lane);
            let newest = self.newest.get(&key).copied().unwrap_or_default();
            if owner.generation < newest {
                let (name, shown) = (SERVERS[server], show(owner));
                stage
                    .ledger
                    .fault(format!("{name} has {shown}, and {newest} was registered"));
            }
        }
    }

    fn check_stays(&mut self, stage: &Stage, server: usize, owners: &[Owner]) {
        let process = stage.server(server);
        // Behind one name a successor may be the other replica's.
        if process.shutdown.is_cancelled() || stage.choices.is_balanced {
            return;
        }
        for client in 0..stage.choices.clients {
            let instance = stage.instance(client);
            let mut own = owners.iter().filter(|owner| owner.instance == instance);
            let is_linked = own.any(|owner| owner.lane < REPLICAS);
            let key = (server, process.starts, instance);
            if is_linked {
                self.linked.insert(key);
            } else if !stage.client(client).shutdown.is_cancelled() && self.linked.remove(&key) {
                let (name, instance) = (SERVERS[server], key.2);
                let fault = format!("{instance} is not linked to {name} any more, for no reason");
                stage.ledger.fault(fault);
            }
        }
    }

    /// What is missing until all clients are linked to both servers, and nobody else is.
    pub(crate) fn missing(&self, stage: &Stage) -> Option<String> {
        let instances: Vec<_> = (0..stage.choices.clients)
            .map(|client| stage.instance(client))
            .collect();
        for (server, name) in SERVERS.iter().enumerate() {
            let owners = &self.seen[server];
            let unlinked = |instance: &&String| {
                let mut own = owners.iter().filter(|owner| owner.instance == **instance);
                !own.any(|owner| owner.lane < REPLICAS)
            };
            if let Some(instance) = instances.iter().find(unlinked) {
                return Some(format!("{instance} is not linked to {name}"));
            }
            let is_gone = |owner: &&Owner| !instances.contains(&owner.instance);
            if let Some(owner) = owners.iter().find(is_gone) {
                return Some(format!("{name} still has {}", show(owner)));
            }
        }
        None
    }
}

fn show(owner: &Owner) -> String {
    format!("{}/{}:{}", owner.instance, owner.lane, owner.generation)
}
