//! One seed's course, from its start to its verdict.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use simulation::clock;
use simulation::seeded::seed_this_thread;
use turmoil::{Builder, Sim};

use crate::children::{DIGEST, again};
use crate::faults::{Excuses, Faults, LATENCY};
use crate::ledger::Outcome;
use crate::owners::Owners;
use crate::stage::{CLIENTS, SERVERS, Stage, UPSTREAM};
use crate::{caller, client, plan, server, upstream};

/// What passes between two looks. Timers are exact all the same, and messages wait for
/// the next one.
const TICK: Duration = Duration::from_millis(20);
/// Within this time after the last fault everybody is linked again: a dead link is
/// noticed within 25 s, an attempt takes 10 s, and another replica is looked for each 10 s.
const HEALED: Duration = Duration::from_secs(100);
/// Calls that come when all is well.
const CALM: Duration = Duration::from_secs(4);
/// For what is open then.
const REST: Duration = Duration::from_secs(100);

/// Runs a seed, and fails where a promise is broken.
pub(crate) fn in_this_process(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    // A thread that has drawn nothing yet.
    let course = std::thread::spawn(move || {
        seed_this_thread(seed);
        clock::set_on_this_thread(Duration::ZERO);
        course(seed, &token_file)
    });
    let (digest, faults) = course.join().unwrap();
    println!("{DIGEST}{digest}");
    assert!(
        faults.is_empty(),
        "seed {seed}:\n  {}\nto run it again:\n  {}",
        faults.join("\n  "),
        again(seed)
    );
}

fn course(seed: u64, token_file: &Path) -> (String, Vec<String>) {
    let stage = Stage::set();
    write_secret(token_file, stage.connector_token.expose());
    let mut sim = network(seed);
    inhabit(&mut sim, &stage, token_file);
    let faults = Faults::new(&stage, &plan::draw(&stage.choices));
    let mut course = Course {
        sim,
        faults,
        owners: Owners::default(),
        stage,
    };
    course.run();
    (course.stage.trace.digest(), course.stage.ledger.faults())
}

fn write_secret(path: &Path, secret: &str) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path);
    file.as_mut().unwrap().write_all(secret.as_bytes()).unwrap();
}

fn network<'a>(seed: u64) -> Sim<'a> {
    Builder::new()
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH)
        .tick_duration(TICK)
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(LATENCY)
        .tcp_capacity(4096)
        .enable_random_order()
        .build()
}

fn inhabit(sim: &mut Sim<'_>, stage: &Stage, token_file: &Path) {
    let host = stage.clone();
    sim.host(UPSTREAM, move || upstream::run(host.clone()));
    for (server, name) in SERVERS.iter().enumerate() {
        let stage = stage.clone();
        sim.host(*name, move || server::run(stage.clone(), server));
    }
    let config = client::config(stage, token_file).unwrap();
    for (client, name) in CLIENTS.iter().enumerate().take(stage.choices.clients) {
        let (stage, config) = (stage.clone(), config.clone());
        sim.host(*name, move || {
            client::run(stage.clone(), client, config.clone())
        });
    }
    let host = stage.clone();
    sim.host("callers", move || caller::run(host.clone()));
}

struct Course<'a> {
    sim: Sim<'a>,
    faults: Faults,
    owners: Owners,
    stage: Stage,
}

impl Course<'_> {
    fn run(&mut self) {
        while !self.faults.are_over() {
            self.step();
        }
        self.tell("all faults are over");
        if let Some(missing) = self.until(HEALED, |course| course.owners.missing(&course.stage)) {
            self.stage.ledger.fault(missing);
        }
        self.tell("all is well");
        let healed = self.sim.elapsed();
        while self.sim.elapsed() < healed + CALM {
            self.step();
        }
        self.stage.ledger.close();
        let open = |course: &Self| {
            let open = course.stage.ledger.open();
            (open > 0).then(|| format!("{open} requests were never answered"))
        };
        if let Some(open) = self.until(REST, open) {
            self.stage.ledger.fault(open);
        }
        self.tell("ended");
        judge(&self.stage, &self.faults.excuses);
    }

    fn step(&mut self) {
        self.faults.act(&mut self.sim);
        clock::set_on_this_thread(self.sim.elapsed());
        if let Err(error) = self.sim.step() {
            panic!("{error}");
        }
        let now = self.sim.elapsed();
        self.owners.look(&self.stage, &self.faults.excuses, now);
    }

    /// Until nothing is missing any more, or so much later.
    fn until(
        &mut self,
        at_most: Duration,
        missing: impl Fn(&Self) -> Option<String>,
    ) -> Option<String> {
        let end = self.sim.elapsed() + at_most;
        loop {
            let missing = missing(self)?;
            if self.sim.elapsed() > end {
                return Some(missing);
            }
            self.step();
        }
    }

    fn tell(&self, what: &str) {
        self.stage.trace.tell_at(self.sim.elapsed(), what);
    }
}

/// Who could be answered was.
fn judge(stage: &Stage, excuses: &Excuses) {
    for (id, entry) in stage.ledger.entries() {
        let Some((ended, outcome)) = &entry.ended else {
            continue;
        };
        let (server, began, ended) = (entry.server, entry.began, *ended);
        let is_fine = match (outcome, entry.had_owner(ended)) {
            (Outcome::Whole | Outcome::Cancelled, _) => true,
            (Outcome::NotSent, _) => excuses.nobody_listened(began, ended),
            (_, None) => true,
            (_, Some(linked)) => {
                excuses.has(server, began, ended) || excuses.ended_unlinked(server, linked, ended)
            }
        };
        if !is_fine {
            let server = SERVERS[server];
            stage.ledger.fault(format!(
                "#{id} ({}) by way of {server} was lost: {outcome}",
                entry.method
            ));
        }
    }
}
