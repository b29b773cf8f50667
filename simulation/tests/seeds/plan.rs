//! What goes wrong, and when.

use std::fmt;
use std::time::Duration;

use simulation::clock::LONGEST_JUMP;

use crate::stage::{Choices, between};

/// Faults begin within this time.
const FROM: u64 = 4_000;
const TO: u64 = 30_000;

/// Something that happens to a process or to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ends as it is asked to, and starts anew.
    Drain(Host),
    /// Ends at once; its system says goodbye in its place.
    Crash(Host),
    /// Ends with its machine: nobody hears of it.
    Vanish(Host),
    /// Nothing passes between a client and a server, or only in one direction.
    Partition(Way, Direction),
    /// Everything waits, and comes at once in the end.
    Hold(Way),
    /// Each message takes up to so long.
    Slow(Way, Duration),
    /// The connections that there are carry nothing any more; new ones do.
    Forget(Way),
    /// The calendar's clock is wrong by so many seconds, for everybody.
    Clock(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Server(usize),
    Client(usize),
}

/// From a client to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) client: usize,
    pub(crate) server: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Both,
    ToServer,
    ToClient,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) at: Duration,
    /// Until it is mended; what drains is started so long after it has ended.
    pub(crate) lasts: Duration,
}

/// Those of one run, in the order of their beginning.
pub(crate) fn draw(choices: &Choices) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for _ in 0..rand::random_range(1..=6) {
        let fault = Fault::draw(choices);
        if !faults.iter().any(|other| other.collides(&fault)) {
            faults.push(fault);
        }
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

impl Fault {
    fn draw(choices: &Choices) -> Self {
        let client = rand::random_range(0..choices.clients);
        let server = rand::random_range(0..2);
        let host = match rand::random() {
            true => Host::Server(server),
            false => Host::Client(client),
        };
        let way = Way { client, server };
        let (kind, lasts) = match rand::random_range(0..14) {
            0..3 => (Kind::Drain(host), between(0, 3_000)),
            3..5 => (Kind::Crash(host), between(0, 8_000)),
            5 => (Kind::Vanish(host), between(500, 40_000)),
            6 | 7 => (
                Kind::Partition(way, Direction::draw()),
                between(100, 40_000),
            ),
            8 | 9 => (Kind::Forget(way), Duration::ZERO),
            10 => (Kind::Hold(way), between(100, 20_000)),
            11 | 12 => (Kind::Clock(draw_jump()), between(0, 60_000)),
            _ => (
                Kind::Slow(way, between(500, 40_000)),
                between(1_000, 15_000),
            ),
        };
        let at = between(FROM, TO);
        Self { kind, at, lasts }
    }

    /// Whether both are of the same process or way at once.
    fn collides(&self, other: &Self) -> bool {
        let overlap = self.at <= other.busy_until() && other.at <= self.busy_until();
        overlap && self.kind.touches(&other.kind)
    }

    fn busy_until(&self) -> Duration {
        /// What drains may take that long.
        const DRAINS: Duration = Duration::from_secs(25);
        let drains = match self.kind {
            Kind::Drain(_) => DRAINS,
            _ => Duration::from_secs(1),
        };
        self.at + self.lasts + drains
    }
}

impl Kind {
    fn touches(&self, other: &Self) -> bool {
        if self.host().is_some() && self.host() == other.host() {
            return true;
        }
        if let (Self::Clock(_), Self::Clock(_)) = (self, other) {
            return true;
        }
        let others = other.ways();
        self.ways().iter().any(|way| others.contains(way))
    }

    /// Those that it changes.
    pub(crate) fn ways(&self) -> Vec<Way> {
        match self {
            Self::Partition(way, _) | Self::Hold(way) | Self::Slow(way, _) | Self::Forget(way) => {
                vec![*way]
            }
            Self::Vanish(Host::Server(server)) => (0..2)
                .map(|client| Way {
                    client,
                    server: *server,
                })
                .collect(),
            Self::Vanish(Host::Client(client)) => (0..2)
                .map(|server| Way {
                    client: *client,
                    server,
                })
                .collect(),
            Self::Drain(_) | Self::Crash(_) | Self::Clock(_) => Vec::new(),
        }
    }

    pub(crate) fn host(&self) -> Option<Host> {
        match self {
            Self::Drain(host) | Self::Crash(host) | Self::Vanish(host) => Some(*host),
            _ => None,
        }
    }
}

/// By a moment or by days, forward or back.
fn draw_jump() -> i64 {
    let most = [2, 3_600, LONGEST_JUMP.as_secs() as i64][rand::random_range(0..3)];
    rand::random_range(-most..=most)
}

impl Direction {
    fn draw() -> Self {
        match rand::random_range(0..4) {
            0 | 1 => Self::Both,
            2 => Self::ToServer,
            _ => Self::ToClient,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{:?} at {at:.3} for {lasts:.3}", self.kind)
    }
}
