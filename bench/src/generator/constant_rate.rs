//! Requests at a rate that does not give way. Each is due at a moment, and its latency
//! counts from there: one that waits because those before it were late has waited
//! (a closed loop hides that: "coordinated omission").

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Latencies;
use super::closed_loop::{Caller, Times};
use super::pacer::Pacer;

/// How long requests that were due are waited for.
const GRACE: Duration = Duration::from_secs(5);

/// What it gave, of what was due after the warm-up.
#[derive(Clone, Debug)]
pub struct Paced {
    /// From when each was due. Those that were not answered count as long as they were
    /// waited for.
    pub latencies: Latencies,
    /// From when each was due until it was sent, where its caller was free: the
    /// generator's own.
    pub lateness: Latencies,
    pub due: u64,
    /// While requests were due; less than due where it does not keep up.
    pub answered_in_time: u64,
    pub unanswered: u64,
    pub bytes: u64,
}

impl Paced {
    /// The part of what was due that was answered while requests were due.
    pub fn kept_up(&self) -> f64 {
        self.answered_in_time as f64 / self.due as f64
    }
}

struct One {
    latencies: Latencies,
    lateness: Latencies,
    answered_in_time: u64,
    bytes: u64,
}

/// Shares `per_second` requests among the callers in turn. `counts` is called when the
/// warm-up is over.
pub async fn run<C: Caller>(
    callers: Vec<C>,
    per_second: f64,
    times: Times,
    counts: impl FnOnce() -> Result<()>,
) -> Result<Paced> {
    let from = Instant::now() + times.warm_up;
    let end = from + times.time;
    let all = (times.warm_up + times.time).as_secs_f64() * per_second;
    // All that one may be given: the pacer never waits.
    let room = (all / callers.len() as f64).ceil() as usize + 2;
    let mut running = JoinSet::new();
    let mut queues = Vec::new();
    for caller in callers {
        let (queue, dues) = mpsc::channel(room);
        queues.push(queue);
        running.spawn(call(caller, dues, from, end));
    }
    let mut pacer = Pacer::start(per_second)?;
    let (mut due_in_all, mut counts) = (0, Some(counts));
    for number in 0_usize.. {
        let due = pacer.due().await?;
        if due >= end {
            break;
        }
        if due >= from {
            if let Some(counts) = counts.take() {
                counts()?;
            }
            due_in_all += 1;
        }
        // One that has ended says why below.
        let _ = queues[number % queues.len()].try_send(due);
    }
    drop(queues);
    let mut paced = Paced {
        latencies: Latencies::new()?,
        lateness: Latencies::new()?,
        due: due_in_all,
        answered_in_time: 0,
        unanswered: 0,
        bytes: 0,
    };
    while let Some(ended) = running.join_next().await {
        let one = ended??;
        paced.latencies.join(&one.latencies)?;
        paced.lateness.join(&one.lateness)?;
        paced.answered_in_time += one.answered_in_time;
        paced.bytes += one.bytes;
    }
    paced.unanswered = due_in_all.saturating_sub(paced.latencies.count());
    for _ in 0..paced.unanswered {
        paced.latencies.add(GRACE);
    }
    Ok(paced)
}

async fn call<C: Caller>(
    mut caller: C,
    mut dues: mpsc::Receiver<Instant>,
    from: Instant,
    end: Instant,
) -> Result<One> {
    let mut one = One {
        latencies: Latencies::new()?,
        lateness: Latencies::new()?,
        answered_in_time: 0,
        bytes: 0,
    };
    let last = end + GRACE;
    loop {
        let was_free = dues.is_empty();
        let Some(due) = dues.recv().await else {
            return Ok(one);
        };
        let sent = Instant::now();
        let Ok(got) = tokio::time::timeout_at(last.into(), caller.call()).await else {
            return Ok(one);
        };
        let (bytes, now) = (got?, Instant::now());
        if due < from {
            continue;
        }
        one.bytes += bytes;
        one.latencies.add(now.duration_since(due));
        if was_free {
            one.lateness.add(sent.duration_since(due));
        }
        if now <= end {
            one.answered_in_time += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Duration);

    impl Caller for Slow {
        async fn call(&mut self) -> Result<u64> {
            tokio::time::sleep(self.0).await;
            Ok(1)
        }
    }

    fn times(milliseconds: u64) -> Times {
        Times {
            warm_up: Duration::ZERO,
            time: Duration::from_millis(milliseconds),
        }
    }

    #[tokio::test]
    async fn one_that_keeps_up_answers_all() {
        let callers = vec![Slow(Duration::ZERO), Slow(Duration::ZERO)];
        let paced = run(callers, 1000.0, times(100), || Ok(())).await.unwrap();
        assert!((95..=100).contains(&paced.due), "{}", paced.due);
        assert_eq!(paced.latencies.count(), paced.due);
        assert_eq!(paced.unanswered, 0);
    }

    #[tokio::test]
    async fn waiting_behind_others_counts() {
        // 20 are due in 100 ms, and each takes 20: the last waits for some 300 ms.
        let callers = vec![Slow(Duration::from_millis(20))];
        let paced = run(callers, 200.0, times(100), || Ok(())).await.unwrap();
        assert!(
            paced.latencies.longest() >= 200.0,
            "{}",
            paced.latencies.longest()
        );
        assert!(paced.kept_up() < 0.5, "{}", paced.kept_up());
    }
}
