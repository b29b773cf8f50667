//! Callers of four kinds, each of which begins anew as soon as it has ended.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use integration::certificate_trust::client_config;
use integration::chain::Chain;
use integration::raw_http::{Connection, Ended};
use integration::wait::until;
use reqwest::Client;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::cluster::{BULK, is_bulk};
use crate::record::{End, Ends, Kind, Record};

/// For any step; the load's own deadlines, not the tunnel's.
const STEP: Duration = Duration::from_secs(60);
/// Between a failure and the next try: a caller that is refused does not spin.
const PAUSE: Duration = Duration::from_millis(5);
/// Events of a watch, or echoes of an upgraded stream, that count as one answer.
const SOME: u64 = 5;
/// How many of each kind there are.
const CALLERS: [(Kind, usize); 4] = [
    (Kind::Small, 4),
    (Kind::Watch, 8),
    (Kind::Bulk, 2),
    (Kind::Upgrade, 4),
];

/// What all callers share.
struct Shared {
    client: Client,
    url: String,
    token: String,
    tls: Arc<ClientConfig>,
    host: String,
    server: SocketAddr,
    ended: AtomicBool,
    failed: Mutex<Vec<Record>>,
    /// Answers so far, of each kind.
    answers: [AtomicUsize; 4],
    last_small: Mutex<Option<(Instant, Instant)>>,
}

/// Runs until its end.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(chain: &Chain) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: chain.http().build()?,
            url: chain.url_by_host(),
            token: chain.access_token.expose().to_owned(),
            tls: Arc::new(client_config(&chain.ca_file(), &[b"http/1.1"])?),
            host: chain.host(),
            server: chain.server_address,
            ended: AtomicBool::new(false),
            failed: Mutex::default(),
            answers: Default::default(),
            last_small: Mutex::default(),
        });
        let mut callers = JoinSet::new();
        for (kind, count) in CALLERS {
            for _ in 0..count {
                callers.spawn(again_and_again(shared.clone(), kind));
            }
        }
        Ok(Self { shared, callers })
    }

    /// Waits until each kind has had so many answers more for each of its callers.
    pub(crate) async fn rounds(&self, rounds: usize) -> Result<()> {
        let wanted = CALLERS.map(|(kind, count)| self.shared.answers(kind) + rounds * count);
        until("answers of every kind", STEP, || async {
            let there = CALLERS.map(|(kind, _)| self.shared.answers(kind));
            let all = there
                .iter()
                .zip(wanted)
                .all(|(there, wanted)| *there >= wanted);
            Ok(all.then_some(()))
        })
        .await
    }

    /// How long after `ready` the first small request was answered that was sent then
    /// or later.
    pub(crate) fn answered_since(&self, ready: Instant) -> Option<Duration> {
        let last = *lock(&self.shared.last_small);
        let (sent, answered) = last?;
        (sent >= ready).then(|| answered - ready)
    }

    /// Ends it; gives what became of each.
    pub(crate) async fn end(mut self) -> Result<Ends> {
        self.shared.ended.store(true, Ordering::Relaxed);
        while let Some(ended) = timeout(STEP, self.callers.join_next()).await? {
            ended?;
        }
        let answers = CALLERS.map(|(kind, _)| (kind, self.shared.answers(kind)));
        Ok(Ends {
            answers: answers.to_vec(),
            failed: std::mem::take(&mut *lock(&self.shared.failed)),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn answer(&self, kind: Kind) {
        self.answers[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn answers(&self, kind: Kind) -> usize {
        self.answers[kind as usize].load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = timeout(STEP, request.bearer_auth(&self.token).send()).await??;
        let status = answer.status();
        let code = answer.headers().get("culvert-error").cloned();
        ensure!(status == 200, "{status} {code:?}");
        Ok(answer)
    }
}

async fn again_and_again(shared: Arc<Shared>, kind: Kind) {
    while !shared.is_over() {
        let from = Instant::now();
        let call = async {
            match kind {
                Kind::Small => small(&shared, from).await,
                Kind::Watch => watch(&shared).await,
                Kind::Bulk => bulk(&shared).await,
                Kind::Upgrade => upgrade(&shared).await,
            }
        };
        let end = match call.await {
            Ok(end) => end,
            Err(error) => End::Failed(format!("{error:#}")),
        };
        if end == End::Whole {
            continue;
        }
        let to = Instant::now();
        lock(&shared.failed).push(Record {
            kind,
            from,
            to,
            end,
        });
        sleep(PAUSE).await;
    }
}

async fn small(shared: &Shared, sent: Instant) -> Result<End> {
    let text = shared.get("/version").await?.text().await?;
    if text != "ok" {
        return Ok(End::LookedWhole(text));
    }
    let mut last = lock(&shared.last_small);
    // The first that was sent last: what is asked for is the earliest since some time.
    if last.is_none_or(|(before, _)| before < sent) {
        *last = Some((sent, Instant::now()));
    }
    drop(last);
    shared.answer(Kind::Small);
    Ok(End::Whole)
}

/// Each event comes once and in its order; there is no end.
async fn watch(shared: &Shared) -> Result<End> {
    let mut watch = shared.get("/api/v1/pods?watch=true").await?;
    let (mut next, mut line) = (0_u64, String::new());
    while !shared.is_over() {
        let Some(chunk) = timeout(STEP, watch.chunk()).await?? else {
            return Ok(End::LookedWhole(format!("after {next} events")));
        };
        line += std::str::from_utf8(&chunk)?;
        while let Some((event, rest)) = line.split_once('\n') {
            if event != next.to_string() {
                return Ok(End::LookedWhole(format!("{event:?} in {next}'s place")));
            }
            next += 1;
            line = rest.to_owned();
            if next % SOME == 0 {
                shared.answer(Kind::Watch);
            }
        }
    }
    Ok(End::Whole)
}

async fn bulk(shared: &Shared) -> Result<End> {
    let mut bulk = shared.get("/bulk").await?;
    let mut at = 0;
    while let Some(chunk) = timeout(STEP, bulk.chunk()).await?? {
        if !is_bulk(at, &chunk) {
            return Ok(End::LookedWhole(format!("other bytes at {at}")));
        }
        at += chunk.len();
    }
    if at != BULK {
        return Ok(End::LookedWhole(format!("{at} bytes")));
    }
    shared.answer(Kind::Bulk);
    Ok(End::Whole)
}

/// What is sent comes back; there is no end.
async fn upgrade(shared: &Shared) -> Result<End> {
    let stream = TcpStream::connect(shared.server).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(shared.host.clone())?;
    let connector = TlsConnector::from(shared.tls.clone());
    let stream = timeout(STEP, connector.connect(name, stream)).await??;
    let mut connection = Connection::new(stream);
    connection
        .send(format!(
            "GET /api/v1/namespaces/a/pods/b/exec HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            shared.host, shared.token
        ))
        .await?;
    let head = connection.head().await?;
    ensure!(
        head.starts_with("HTTP/1.1 101"),
        "{}",
        head.lines().next().unwrap_or_default()
    );
    let mut number = 0_u64;
    while !shared.is_over() {
        let word = format!("{number:08}");
        connection.send(&word).await?;
        let came = match connection.exactly_or_end(word.len()).await? {
            Ok(came) => came,
            Err(Ended::Closed) => return Ok(End::LookedWhole(format!("after {number} echoes"))),
            Err(Ended::Broken) => bail!("cut after {number} echoes"),
        };
        ensure!(came == word, "{came:?} for {word:?}");
        number += 1;
        if number.is_multiple_of(SOME) {
            shared.answer(Kind::Upgrade);
            // It is to be open, not to fill the machine.
            sleep(PAUSE).await;
        }
    }
    // Whoever is closed upon has nothing to complain of.
    connection
        .finish()
        .await
        .context("the end of an upgraded stream")?;
    Ok(End::Whole)
}
