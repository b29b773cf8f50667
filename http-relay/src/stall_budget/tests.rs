use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::limits::FRAME;

use super::*;
use crate::RelayError;
use crate::body::pass;
use crate::body_channel::{BodyWriter, channel};

const COST: u64 = 10;

struct Watched {
    budget: StallBudget,
    cut: Arc<AtomicUsize>,
    watch: tokio::task::JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Watched {
    fn new(process: u64, link: u64) -> Self {
        let budget = StallBudget::new(process, link);
        let cut = Arc::new(AtomicUsize::new(0));
        let (watched, counted) = (budget.clone(), cut.clone());
        let watch = tokio::task::spawn_local(async move {
            let count = |look: Look| {
                counted.fetch_add(look.cut, Ordering::Relaxed);
            };
            watched.watch(count).await;
        });
        Self { budget, cut, watch }
    }

    fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }
}

async fn held(link: &LinkStalls) -> (BodyWriter, RelayBody, StreamHandle) {
    let (writer, body) = channel();
    writer.send(Bytes::from_static(b"x")).await.unwrap();
    let (body, handle) = link.outbound(pass(body), COST);
    (writer, body, handle)
}

/// Takes one frame and asks for no more.
async fn block(body: &mut RelayBody) {
    body.frame().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn the_longest_blocked_is_cut_and_only_it() {
    let watched = Watched::new(100 * COST, 2 * COST);
    let link = watched.budget.link();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let (writer, mut body, handle) = held(&link).await;
        block(&mut body).await;
        streams.push((writer, body, handle));
        sleep(2 * LOOK).await;
    }
    sleep(3 * STALLED_AFTER).await;
    assert_eq!((watched.cut(), link.is_full()), (1, false));
    // What it held is gone at once, though its consumer asks for nothing.
    streams[0].0.closed().await;
    assert_eq!(streams[0].2.cut().await, CUT);
    let first = streams[0].1.frame().await.unwrap();
    assert!(matches!(first, Err(RelayError::Ended(CUT))));
    for (writer, mut body, _) in streams.drain(1..) {
        writer.finish().await.unwrap();
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn whoever_takes_or_waits_for_data_is_not_blocked() {
    // A crowd's limit is half as much again.
    let watched = Watched::new(COST - 1, COST - 1);
    let link = watched.budget.link();
    let (_quiet, mut waits, _) = held(&link).await;
    block(&mut waits).await;
    let waiting = async { drop(waits.frame().await) };
    let (slow, mut takes, _) = held(&link).await;
    let taking = async {
        for _ in 0..10 {
            block(&mut takes).await;
            sleep(STALLED_AFTER - 2 * LOOK).await;
            slow.send(Bytes::from_static(b"x")).await.unwrap();
        }
    };
    tokio::select! {
        () = waiting => unreachable!("nothing comes"),
        () = taking => {}
    }
    assert_eq!(watched.cut(), 0);
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn the_process_has_a_limit_of_its_own() {
    let watched = Watched::new(COST, COST);
    let links = [watched.budget.link(), watched.budget.link()];
    let mut open = Vec::new();
    for link in &links {
        let (writer, mut body, _) = held(link).await;
        block(&mut body).await;
        open.push((writer, body));
    }
    sleep(3 * STALLED_AFTER).await;
    assert_eq!(watched.cut(), 1);
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn a_crowd_is_cut_before_its_time_and_new_streams_wait() {
    let watched = Watched::new(100 * COST, COST);
    let (link, other) = (watched.budget.link(), watched.budget.link());
    let mut open = Vec::new();
    for _ in 0..3 {
        let (writer, mut body, _) = held(&link).await;
        block(&mut body).await;
        open.push((writer, body));
    }
    assert!(!link.is_full());
    let mut was_full = false;
    for _ in 0..8 {
        sleep(LOOK / 2).await;
        was_full |= link.is_full();
        assert!(!other.is_full());
    }
    assert!(was_full && !link.is_full());
    assert_eq!(watched.cut(), 2);
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn a_write_of_ours_is_cut_while_it_waits() {
    let watched = Watched::new(0, 0);
    let stall = watched.budget.link().stall(COST);
    assert_eq!(stall.during(async { 7 }).await.unwrap(), 7);
    let waiting = stall.during(std::future::pending::<()>());
    assert!(matches!(waiting.await, Err(RelayError::Ended(CUT))));
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn a_consumer_is_ended_from_outside() {
    let link = StallBudget::new(0, 0).link();
    let (writer, mut body, handle) = held(&link).await;
    let consumer = crate::stream_task::endable(async move {
        block(&mut body).await;
        // As hyper does while its peer has no room.
        std::future::pending::<()>().await;
    });
    let consumer = tokio::task::spawn_local(consumer);
    tokio::task::yield_now().await;
    handle.end();
    writer.closed().await;
    consumer.await.unwrap();
}

/// A link's connection and its bodies: frames that are read are the body's.
struct Played {
    link: LinkStalls,
    gauged: Gauged<tokio::io::DuplexStream>,
    peer: tokio::io::DuplexStream,
}

impl Played {
    fn new(watched: &Watched) -> Self {
        let link = watched.budget.link();
        let (peer, connection) = tokio::io::duplex(1 << 20);
        let gauged = link.gauge(connection, 0);
        Self { link, gauged, peer }
    }

    /// A body of so many frames of a byte.
    fn inbound(&self, frames: usize, window: u64) -> (RelayBody, StreamHandle) {
        self.inbound_of(frames, b"x", window)
    }

    fn inbound_of(
        &self,
        frames: usize,
        data: &'static [u8],
        window: u64,
    ) -> (RelayBody, StreamHandle) {
        let body = Frames(frames, Bytes::from_static(data)).boxed_unsync();
        self.link
            .inbound(body, window, pending(), Arc::default(), ())
    }

    /// Reads so many frames of a byte; gives how many could be.
    async fn read_small(&mut self, count: usize) -> usize {
        const FRAME: [u8; 10] = [0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'];
        let mut frames = vec![0; 1000 * FRAME.len()];
        for read in 0..count / 1000 {
            self.peer.write_all(&FRAME.repeat(1000)).await.unwrap();
            let reading = self.gauged.read_exact(&mut frames);
            if timeout(LOOK / 2, reading).await.is_err() {
                return read * 1000;
            }
        }
        count
    }
}

/// As h2 keeps them.
struct Frames(usize, Bytes);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, RelayError>>> {
        if self.0 == 0 {
            return std::task::Poll::Pending;
        }
        self.0 -= 1;
        let frame = http_body::Frame::data(self.1.clone());
        std::task::Poll::Ready(Some(Ok(frame)))
    }
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn small_frames_of_a_blocked_stream_are_put_together() {
    const COUNT: usize = 100_000;
    let watched = Watched::new(u64::MAX, u64::MAX);
    let mut played = Played::new(&watched);
    let (mut body, _) = played.inbound(COUNT, COUNT as u64);
    block(&mut body).await;
    assert_eq!(played.read_small(COUNT).await, COUNT);
    assert_eq!(watched.cut(), 0);
    let mut whole = 1;
    let mut frames = 1;
    while whole < COUNT {
        let frame = body.frame().await.unwrap().unwrap();
        whole += frame.into_data().unwrap().len();
        frames += 1;
    }
    assert!(frames < 50_000, "{frames} frames");
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn whoever_is_blocked_with_more_than_its_window_goes() {
    let watched = Watched::new(u64::MAX, u64::MAX);
    let mut played = Played::new(&watched);
    let (mut body, handle) = played.inbound(usize::MAX, 10_000);
    let (mut quiet, _) = played.inbound(1, 10_000);
    // Its window is full, too, and it is not to blame.
    let (mut bulk, bulks_handle) = played.inbound_of(usize::MAX, &[b'x'; 1000], 10_000);
    block(&mut bulk).await;
    block(&mut body).await;
    block(&mut quiet).await;
    played.read_small(100_000).await;
    assert_eq!(handle.cut().await, CUT);
    assert_eq!(watched.cut(), 1);
    assert!(bulks_handle.0.as_ref().unwrap().spool_is_full());
    block(&mut bulk).await;
    // And the link goes on.
    assert_eq!(played.read_small(1000).await, 1000);
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn whoever_is_to_end_does_blocked_or_not() {
    const WHY: &str = "its time has come";
    let watched = Watched::new(u64::MAX, u64::MAX);
    let link = watched.budget.link();
    let over = CancellationToken::new();
    let inbound = |frames| {
        let (body, told) = (
            Frames(frames, Bytes::from_static(b"x")).boxed_unsync(),
            Arc::default(),
        );
        let over = over.clone();
        let end = async move {
            over.cancelled().await;
            WHY
        };
        let (body, handle) = link.inbound(body, COST, end, Arc::clone(&told), ());
        (body, handle, told)
    };
    let (mut blocked, handle, told) = inbound(usize::MAX);
    let (mut waits, ..) = inbound(1);
    block(&mut blocked).await;
    block(&mut waits).await;
    let waiting = tokio::task::spawn_local(async move { waits.frame().await });
    sleep(3 * LOOK).await;
    assert!(!waiting.is_finished() && told.get().is_none());

    over.cancel();
    watched.budget.look();
    let waited = waiting.await.unwrap();
    assert!(matches!(waited, Some(Err(RelayError::Ended(WHY)))));
    let asked = Instant::now();
    assert_eq!(handle.cut().await, WHY);
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert_eq!((told.get(), watched.cut()), (Some(&WHY), 0));
    let next = blocked.frame().await;
    assert!(matches!(next, Some(Err(RelayError::Ended(WHY)))));
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn small_frames_wait_until_those_before_are_gone() {
    let watched = Watched::new(u64::MAX, u64::MAX);
    let played = Played::new(&watched);
    let (mut body, handle) = played.inbound(usize::MAX, COST);
    let mut handed = Vec::new();
    let mut frames = async |count: usize| {
        while handed.len() < count {
            let frame = body.frame().await.unwrap()?;
            handed.push(frame.into_data().unwrap());
        }
        handed.clear();
        Ok::<_, RelayError>(())
    };
    frames(64).await.unwrap();
    assert!(timeout(LOOK, frames(65)).await.is_err());
    frames(64).await.unwrap();
    // Whoever waits for them to go is told of a cut.
    let cut = async {
        sleep(LOOK).await;
        handle.0.as_ref().unwrap().cut(CUT);
    };
    let (ended, ()) = tokio::join!(frames(65), cut);
    assert!(matches!(ended, Err(RelayError::Ended(CUT))));
}

#[tokio::test(flavor = "local")]
async fn bodies_that_wait_share_the_length_of_a_frame() {
    const WHOLE: usize = 200_000;
    let budget = StallBudget::new(u64::MAX, u64::MAX);
    let link = budget.link();
    let large = || Bytes::from(vec![b'x'; WHOLE]);
    let mut waiting = Vec::new();
    let mut lengths = Vec::new();
    for _ in 0..10 {
        let (writer, body) = channel();
        writer.send(large()).await.unwrap();
        let (mut body, _) = link.outbound(pass(body), COST);
        let frame = body.frame().await.unwrap().unwrap();
        lengths.push(frame.into_data().unwrap().len());
        waiting.push((writer, body));
    }
    let part = |of: usize| FRAME as usize / of;
    assert_eq!(lengths[..4], [1, 2, 3, 4].map(part));
    assert_eq!(lengths[9], 8 << 10);
    // What was kept comes, and is longer again where nobody else waits.
    let (writer, mut body) = waiting.pop().unwrap();
    writer.finish().await.unwrap();
    drop(waiting);
    let mut sum = lengths[9];
    while let Some(frame) = body.frame().await {
        let length = frame.unwrap().into_data().unwrap().len();
        sum += length;
        assert!(length == part(1) || sum == WHOLE, "{length}");
    }
    assert_eq!(sum, WHOLE);
}

#[tokio::test(start_paused = true, flavor = "local")]
async fn whoever_stands_still_waits_for_no_turn() {
    let watched = Watched::new(u64::MAX, u64::MAX);
    let link = watched.budget.link();
    let (_writer, mut still, _) = held(&link).await;
    block(&mut still).await;
    assert_eq!(link.0.turns.frame(), FRAME as usize / 2);
    sleep(3 * LOOK).await;
    assert_eq!(link.0.turns.frame(), FRAME as usize);
}
