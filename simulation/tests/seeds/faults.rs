//! Lets happen what is planned.

use std::time::Duration;

use simulation::clock;
use turmoil::Sim;

use crate::plan::{Direction, Fault, Host, Kind};
use crate::server::SHUTDOWN_DELAY;
use crate::stage::{CLIENTS, SERVERS, Stage};

/// Load balancers know that late that a server takes connections, or no longer does.
const NEWS: Duration = Duration::from_secs(1);
/// What an ordinary message takes at most.
pub(crate) const LATENCY: Duration = Duration::from_millis(30);

/// One step of a fault.
#[derive(Clone, Copy, Debug)]
enum Action {
    Begin(Fault),
    Mend(Fault),
    /// Waits until the process has ended.
    Start(Host),
    Ready(usize, bool),
}

/// What is still to happen.
pub(crate) struct Faults {
    stage: Stage,
    due: Vec<(Duration, Action)>,
    pub(crate) excuses: Excuses,
}

/// When requests by way of a server may fail.
#[derive(Debug, Default)]
pub(crate) struct Excuses {
    faulted: Vec<Window>,
    /// Nobody listens.
    closed: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    server: usize,
    from: Duration,
    to: Duration,
}

impl Excuses {
    /// Whether one may that was open then.
    pub(crate) fn has(&self, server: usize, from: Duration, to: Duration) -> bool {
        overlaps(&self.faulted, server, from, to)
    }

    /// Whether there was no server at all that one could be sent to then.
    pub(crate) fn nobody_listened(&self, from: Duration, to: Duration) -> bool {
        (0..2).all(|server| overlaps(&self.closed, server, from, to))
    }

    /// Whether a server ended that had had no link since `linked`: nobody waits there for
    /// the next one.
    pub(crate) fn ended_unlinked(&self, server: usize, linked: Duration, at: Duration) -> bool {
        let mut windows = self.closed.iter().filter(|window| window.server == server);
        windows.any(|window| linked < window.from && window.from <= at && at <= window.to)
    }

    fn fault(&mut self, server: usize, from: Duration, to: Duration) {
        self.faulted.push(Window { server, from, to });
    }

    fn closes(&mut self, server: usize, from: Duration) {
        let to = Duration::MAX;
        self.closed.push(Window { server, from, to });
    }

    fn opens(&mut self, server: usize, to: Duration) {
        let last = self.closed.iter_mut().rfind(|last| last.server == server);
        if let Some(last) = last {
            last.to = to;
        }
    }
}

fn overlaps(windows: &[Window], server: usize, from: Duration, to: Duration) -> bool {
    let mut windows = windows.iter().filter(|window| window.server == server);
    windows.any(|window| window.from <= to && from <= window.to)
}

impl Faults {
    pub(crate) fn new(stage: &Stage, plan: &[Fault]) -> Self {
        let mut due = vec![
            (Duration::ZERO, Action::Ready(0, true)),
            (Duration::ZERO, Action::Ready(1, true)),
        ];
        for fault in plan {
            stage
                .trace
                .tell_at(Duration::ZERO, format_args!("planned: {fault}"));
            due.push((fault.at, Action::Begin(*fault)));
        }
        Self {
            stage: stage.clone(),
            due,
            excuses: Excuses::default(),
        }
    }

    /// Whether everything is mended.
    pub(crate) fn are_over(&self) -> bool {
        self.due.is_empty()
    }

    /// Does what is due now.
    pub(crate) fn act(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        let (due, later) = self.due.drain(..).partition(|(at, _)| *at <= now);
        self.due = later;
        for (_, action) in due {
            self.one(sim, now, action);
        }
    }

    fn later(&mut self, at: Duration, action: Action) {
        self.due.push((at, action));
    }

    fn one(&mut self, sim: &mut Sim<'_>, now: Duration, action: Action) {
        match action {
            Action::Begin(fault) => {
                self.stage
                    .trace
                    .tell_at(now, format_args!("BEGINS {:?}", fault.kind));
                self.begin(sim, now, fault);
            }
            Action::Mend(fault) => {
                self.stage
                    .trace
                    .tell_at(now, format_args!("is over: {:?}", fault.kind));
                self.mend(sim, now, fault.kind);
            }
            Action::Start(host) if sim.is_host_running(name(host)) => {
                self.later(now + Duration::from_millis(200), Action::Start(host));
            }
            Action::Start(host) => {
                self.stage
                    .trace
                    .tell_at(now, format_args!("starts: {host:?}"));
                sim.bounce(name(host));
                if let Host::Server(server) = host {
                    self.excuses.opens(server, now);
                    self.later(now + NEWS, Action::Ready(server, true));
                }
            }
            Action::Ready(server, is_ready) => self.stage.balancer.set(server, is_ready),
        }
    }

    fn begin(&mut self, sim: &mut Sim<'_>, now: Duration, fault: Fault) {
        let end = now + fault.lasts;
        self.excuse(now, fault);
        match fault.kind {
            Kind::Drain(host) => {
                match host {
                    Host::Server(server) => {
                        self.stage.server(server).shutdown.cancel();
                        self.excuses.closes(server, now + SHUTDOWN_DELAY);
                        self.later(now + NEWS, Action::Ready(server, false));
                    }
                    Host::Client(client) => self.stage.client(client).shutdown.cancel(),
                }
                return self.later(end, Action::Start(host));
            }
            Kind::Crash(host) => {
                self.crash(sim, now, host);
                return self.later(end, Action::Start(host));
            }
            Kind::Vanish(host) => {
                self.each(fault.kind, |client, server| sim.partition(client, server));
                self.crash(sim, now, host);
            }
            Kind::Partition(_, direction) => {
                self.each(fault.kind, |client, server| match direction {
                    Direction::Both => sim.partition(client, server),
                    Direction::ToServer => sim.partition_oneway(client, server),
                    Direction::ToClient => sim.partition_oneway(server, client),
                });
            }
            Kind::Hold(_) => self.each(fault.kind, |client, server| sim.hold(client, server)),
            Kind::Forget(way) => self.stage.middlebox.forget(way.client, way.server),
            Kind::Clock(seconds) => clock::jump_on_this_thread(seconds),
            Kind::Slow(_, at_most) => self.each(fault.kind, |client, server| {
                sim.set_link_max_message_latency(client, server, at_most);
            }),
        }
        self.later(end, Action::Mend(fault));
    }

    fn mend(&mut self, sim: &mut Sim<'_>, now: Duration, kind: Kind) {
        self.each(kind, |client, server| match kind {
            Kind::Vanish(_) | Kind::Partition(..) => sim.repair(client, server),
            Kind::Hold(_) => sim.release(client, server),
            Kind::Slow(..) => sim.set_link_max_message_latency(client, server, LATENCY),
            Kind::Drain(_) | Kind::Crash(_) | Kind::Forget(_) | Kind::Clock(_) => {}
        });
        if let Kind::Clock(_) = kind {
            clock::jump_on_this_thread(0);
        }
        if let Kind::Vanish(host) = kind {
            self.one(sim, now, Action::Start(host));
        }
    }

    /// Does it to each way of those that there are.
    fn each(&self, kind: Kind, act: impl Fn(&'static str, &'static str)) {
        for way in kind.ways() {
            if way.client < self.stage.choices.clients {
                act(CLIENTS[way.client], SERVERS[way.server]);
            }
        }
    }

    fn crash(&mut self, sim: &mut Sim<'_>, now: Duration, host: Host) {
        sim.crash(name(host));
        if let Host::Server(server) = host {
            self.stage.server_is_gone(server);
            self.excuses.closes(server, now);
            self.later(now + NEWS, Action::Ready(server, false));
        }
    }

    /// When requests may fail as something is wrong: a dead link is noticed by its ping,
    /// 15 s after the last one and within 10 s.
    fn excuse(&mut self, now: Duration, fault: Fault) {
        const NOTICED: Duration = Duration::from_secs(30);
        const AT_ONCE: Duration = Duration::from_secs(1);
        let end = now + fault.lasts;
        match fault.kind {
            Kind::Drain(_) | Kind::Clock(_) => {}
            Kind::Crash(Host::Server(server)) | Kind::Vanish(Host::Server(server)) => {
                self.excuses.fault(server, now, end + AT_ONCE);
            }
            Kind::Crash(Host::Client(_)) => {
                (0..2).for_each(|server| self.excuses.fault(server, now, now + AT_ONCE));
            }
            Kind::Vanish(Host::Client(_)) => {
                (0..2).for_each(|server| self.excuses.fault(server, now, now + NOTICED));
            }
            Kind::Partition(way, _) | Kind::Hold(way) | Kind::Forget(way) => {
                self.excuses.fault(way.server, now, end + NOTICED);
            }
            Kind::Slow(way, at_most) => {
                let noticed = end + at_most + NOTICED;
                self.excuses.fault(way.server, now, noticed);
            }
        }
    }
}

fn name(host: Host) -> &'static str {
    match host {
        Host::Server(server) => SERVERS[server],
        Host::Client(client) => CLIENTS[client],
    }
}
