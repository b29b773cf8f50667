//! Courses of events, each from a seed: servers that drain and crash, clients that do,
//! networks that are cut, held and slow, while callers call.
//!
//! In every run as many seeds as take half a minute; with `CULVERT_ENDURE=1`, or as
//! `cargo xtask endure`, thousands of others. `CULVERT_SEED=7 cargo test -p simulation
//! --test seeds -- --nocapture` runs one, and tells its course; with `CULVERT_DEBUG=1`
//! with all that the two log.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test: what is not there fails it"
)]

mod caller;
mod children;
mod client;
mod faults;
mod ledger;
mod network;
mod owners;
mod plan;
mod registrations;
mod run;
mod server;
mod stage;
mod trace;
mod upstream;

use children::{Child, SEED};

/// Seeds in every run.
const SEEDS: u64 = 24;
/// And where endurance is asked for, as `integration::endure` has it.
const ENDURED: u64 = 4_000;
const ENDURE: &str = "CULVERT_ENDURE";
/// Where endurance begins to count; each run may have others.
const FIRST: &str = "CULVERT_FIRST_SEED";

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: {text:?} is no number")),
    )
}

#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = number(SEED) {
        return run::in_this_process(seed);
    }
    let count = match std::env::var_os(ENDURE) {
        Some(_) => ENDURED,
        None => SEEDS,
    };
    let first = number(FIRST).unwrap_or(1);
    let mut broken = Vec::new();
    for seed in first..first + count {
        let ended = Child::start(seed).end();
        if !ended.is_well {
            eprintln!("{}", ended.told);
            eprintln!(
                "seed {seed} broke; to run it alone:\n  {}",
                children::again(seed)
            );
            broken.push(seed);
        }
    }
    assert!(
        broken.is_empty(),
        "of {count} seeds these broke: {broken:?}"
    );
}

#[test]
fn the_same_seed_is_the_same_course() {
    if number(SEED).is_some() {
        return;
    }
    let courses = [Child::start(1), Child::start(1), Child::start(2)];
    let [one, again, other] = courses.map(|child| child.end().digest);
    assert!(one.is_some());
    assert_eq!(one, again);
    assert_ne!(one, other);
}
