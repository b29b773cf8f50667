//! The settings of links that were measured to matter, each on the real chain.

mod budget;
mod caller;
mod framewise;
mod left;
mod stage;
mod stalls;
mod stub;
mod upgraded;

use std::process::ExitCode;

use budget::{
    new_requests_are_refused_for_a_while, of_answers_the_longest_blocked_is_cut,
    of_uploads_the_longest_blocked_is_refused,
};
use integration::{suite, tests};
use left::an_upload_behind_an_answer;
use stalls::stalled_readers_and_writers_hold_up_nobody;
use upgraded::upgraded_connections_have_a_budget;

fn main() -> ExitCode {
    suite::run(tests![
        stalled_readers_and_writers_hold_up_nobody,
        of_answers_the_longest_blocked_is_cut,
        of_uploads_the_longest_blocked_is_refused,
        new_requests_are_refused_for_a_while,
        an_upload_behind_an_answer,
        upgraded_connections_have_a_budget,
    ])
}
