//! What was asked for, how often it was executed, and how it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};
use url::form_urlencoded;

use crate::stage::between;

/// All requests of a run.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    requests: BTreeMap<u64, Entry>,
    open: BTreeSet<u64>,
    faults: Vec<String>,
    /// No more are wanted.
    is_closed: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) method: Method,
    pub(crate) server: usize,
    pub(crate) began: Duration,
    pub(crate) ended: Option<(Duration, Outcome)>,
    /// When the server had a link for it first, and last.
    owners: Option<(Duration, Duration)>,
    executions: u32,
}

/// How it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Whole,
    /// By the tunnel, not by the cluster.
    Failed(String),
    /// The answer was cut, and known to be.
    Cut(String),
    /// The connection to the server ended without an answer.
    NoAnswer(String),
    /// There was no connection to any server.
    NotSent,
    /// The caller lost interest.
    Cancelled,
    /// Nothing for very long.
    Late,
}

/// What is asked for, as the path has it.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) id: u64,
    /// Bytes of the request's body.
    pub(crate) upload: usize,
    /// How long the answer takes to begin.
    pub(crate) wait: Duration,
    /// Of the answer's body.
    pub(crate) size: usize,
    pub(crate) pieces: usize,
    pub(crate) pause: Duration,
    pub(crate) length_is_said: bool,
}

/// Bytes that are no other request's, and of which no part is like another.
pub(crate) fn pattern(id: u64, length: usize) -> Bytes {
    let mut pattern = Vec::with_capacity(length + 8);
    for at in 0..(length as u64).div_ceil(8) {
        pattern.extend_from_slice(&(id << 32 | at).to_le_bytes());
    }
    pattern.truncate(length);
    pattern.into()
}

impl Ask {
    pub(crate) fn draw(id: u64, has_body: bool) -> Self {
        let size = match rand::random_range(0..10) {
            0..6 => rand::random_range(0..2_000),
            6..9 => rand::random_range(2_000..40_000),
            _ => rand::random_range(40_000..200_000),
        };
        let is_slow = rand::random_bool(0.2);
        Self {
            id,
            upload: match has_body {
                true => rand::random_range(0..20_000),
                false => 0,
            },
            wait: match rand::random_bool(0.3) {
                true => between(0, 2_000),
                false => between(0, 20),
            },
            size,
            pieces: match is_slow {
                true => rand::random_range(2..8),
                false => 1,
            },
            pause: between(0, 500),
            length_is_said: rand::random_bool(0.5),
        }
    }

    pub(crate) fn path(&self) -> String {
        format!(
            "/api/v1/asked/{}?upload={}&wait={}&size={}&pieces={}&pause={}&length={}",
            self.id,
            self.upload,
            self.wait.as_millis(),
            self.size,
            self.pieces,
            self.pause.as_millis(),
            u8::from(self.length_is_said),
        )
    }

    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let id = uri.path().strip_prefix("/api/v1/asked/")?.parse().ok()?;
        let query = form_urlencoded::parse(uri.query()?.as_bytes());
        let query: BTreeMap<_, _> = query
            .filter_map(|(key, value)| Some((key.into_owned(), value.parse::<u64>().ok()?)))
            .collect();
        let number = |key| query.get(key).copied();
        Some(Self {
            id,
            upload: number("upload")? as usize,
            wait: Duration::from_millis(number("wait")?),
            size: number("size")? as usize,
            pieces: number("pieces")? as usize,
            pause: Duration::from_millis(number("pause")?),
            length_is_said: number("length")? == 1,
        })
    }
}

impl Ledger {
    /// A request that goes to a server. Tells its number.
    pub(crate) fn begin(&self, method: Method, server: usize, began: Duration) -> u64 {
        let mut pages = self.lock();
        let id = pages.requests.len() as u64 + 1;
        let entry = Entry {
            method,
            server,
            began,
            ended: None,
            owners: None,
            executions: 0,
        };
        pages.requests.insert(id, entry);
        pages.open.insert(id);
        id
    }

    /// The other server is tried, as nothing was sent to the first.
    pub(crate) fn goes_to(&self, id: u64, server: usize) {
        if let Some(entry) = self.lock().requests.get_mut(&id) {
            (entry.server, entry.owners) = (server, None);
        }
    }

    pub(crate) fn executes(&self, id: u64) {
        let mut pages = self.lock();
        let Some(entry) = pages.requests.get_mut(&id) else {
            return;
        };
        entry.executions += 1;
        if entry.executions > 1 {
            let fault = format!("#{id} ({}) was executed twice", entry.method);
            pages.faults.push(fault);
        }
    }

    pub(crate) fn end(&self, id: u64, ended: Duration, outcome: Outcome) {
        let mut pages = self.lock();
        pages.open.remove(&id);
        let Some(entry) = pages.requests.get_mut(&id) else {
            return;
        };
        let executions = entry.executions;
        let is_whole = outcome == Outcome::Whole;
        entry.ended = Some((ended, outcome));
        if is_whole && executions != 1 {
            let fault = format!("#{id} was answered, and executed {executions} times");
            pages.faults.push(fault);
        }
    }

    /// The server has a link now.
    pub(crate) fn has_owner(&self, server: usize, now: Duration) {
        let mut pages = self.lock();
        let Pages { requests, open, .. } = &mut *pages;
        for id in open.iter() {
            if let Some(entry) = requests.get_mut(id)
                && entry.server == server
            {
                entry.owners.get_or_insert((now, now)).1 = now;
            }
        }
    }

    /// A promise is broken.
    pub(crate) fn fault(&self, what: String) {
        let mut pages = self.lock();
        // It may be seen again and again.
        if !pages.faults.contains(&what) {
            pages.faults.push(what);
        }
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    pub(crate) fn entries(&self) -> Vec<(u64, Entry)> {
        let pages = self.lock();
        let entries = pages.requests.iter();
        entries.map(|(id, entry)| (*id, entry.clone())).collect()
    }

    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(crate) fn open(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }
}

impl Entry {
    /// When there was a link for it last; nothing where the first came when its answer
    /// was on its way.
    pub(crate) fn had_owner(&self, ended: Duration) -> Option<Duration> {
        const ON_ITS_WAY: Duration = Duration::from_millis(200);
        let (first, last) = self.owners?;
        (first + ON_ITS_WAY < ended).then_some(last)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Failed(code) => write!(f, "failed: {code}"),
            Self::Cut(error) => write!(f, "cut: {error}"),
            Self::NoAnswer(error) => write!(f, "no answer: {error}"),
            Self::NotSent => f.write_str("not sent"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Late => f.write_str("late"),
        }
    }
}
