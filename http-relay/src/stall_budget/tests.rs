use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::sleep;

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
            let count = |look: Look| drop(counted.fetch_add(look.cut, Ordering::Relaxed));
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
    let (body, handle) = link.hold(pass(body), COST);
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
    let watched = Watched::new(0, 0);
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
async fn new_streams_wait_while_twice_the_limit_is_blocked() {
    let watched = Watched::new(100 * COST, COST);
    let (link, other) = (watched.budget.link(), watched.budget.link());
    let mut open = Vec::new();
    for _ in 0..3 {
        let (writer, mut body, _) = held(&link).await;
        block(&mut body).await;
        open.push((writer, body));
    }
    assert!(!link.is_full());
    sleep(3 * LOOK).await;
    assert!(link.is_full() && !other.is_full());
    open.clear();
    sleep(2 * LOOK).await;
    assert!(!link.is_full());
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
