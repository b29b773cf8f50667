//! One party's body must never be another party's request: whatever could be
//! framed, routed or answered in two ways ends at the edge with a 400 or a clean
//! close, and what the upstream gets are exactly the requests that were made.

mod answers;
mod bad_values;
mod generated;
mod http1_bodies;
mod http1_heads;
mod http1_targets;
mod http1_upgrades;
mod http2_bodies;
mod http2_heads;
mod http2_stream;
mod requests;
mod seed;
mod stage;
mod witness;

use std::process::ExitCode;

use answers::{answers_in_the_sidecars_place, answers_of_an_api_server};
use bad_values::values_that_http2_cannot_carry;
use generated::requests_of_good_and_bad_parts;
use http1_bodies::{bodies_that_end_in_two_ways, bodies_that_hold_requests};
use http1_heads::heads_that_read_in_two_ways;
use http1_targets::targets_that_read_in_two_ways;
use http1_upgrades::bytes_behind_a_refused_upgrade;
use http2_bodies::http2_bodies_that_lie;
use http2_heads::http2_heads_that_lie;
use integration::{suite, tests};

fn main() -> ExitCode {
    suite::run(tests![
        heads_that_read_in_two_ways,
        targets_that_read_in_two_ways,
        bytes_behind_a_refused_upgrade,
        bodies_that_end_in_two_ways,
        bodies_that_hold_requests,
        http2_heads_that_lie,
        http2_bodies_that_lie,
        requests_of_good_and_bad_parts,
        answers_in_the_sidecars_place,
        answers_of_an_api_server,
        values_that_http2_cannot_carry,
    ])
}
