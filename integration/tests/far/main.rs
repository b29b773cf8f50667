//! Links over a long way: what a round trip costs, and whether a link fills it.

mod bulk;
mod direct;
mod round_trips;
mod stage;

use std::process::ExitCode;

use integration::environment::Environment;
use integration::{suite, tests};

use bulk::a_capped_way_is_filled_both_ways;
use round_trips::{at_100_ms, at_300_ms};

fn main() -> ExitCode {
    // One at a time: they measure.
    let tests = tests![at_100_ms, at_300_ms, a_capped_way_is_filled_both_ways,];
    suite::run_sharing(Environment::default(), Some(1), tests)
}
