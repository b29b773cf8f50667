//! A server that has been taken over: it has the name, the port and the key, and
//! then says whatever it likes. The connector does its sidecar no harm, takes no
//! more of its node than it may, and comes back to a good server.

mod control;
mod floods;
mod handshakes;
mod requests;
mod server;
mod sidecar;
mod stage;

use std::process::ExitCode;

use control::{
    control_lines_without_end, control_streams_that_lie, control_streams_without_end,
    drains_without_end, no_messages, registrations_without_end,
};
use floods::{
    floods_of_frames, many_large_heads_at_once, many_streams_at_once, resets_without_end,
};
use handshakes::{
    answers_that_are_none, answers_that_crawl, answers_without_end, refusals_that_last,
    words_of_a_refusal,
};
use integration::{suite, tests};
use requests::{
    forged_markers, header_blocks_over_the_limit, request_ids_without_end, requests_to_elsewhere,
    upgrades_by_odd_methods,
};

fn main() -> ExitCode {
    suite::run(tests![
        answers_that_are_none,
        answers_that_crawl,
        answers_without_end,
        refusals_that_last,
        words_of_a_refusal,
        requests_to_elsewhere,
        forged_markers,
        upgrades_by_odd_methods,
        header_blocks_over_the_limit,
        request_ids_without_end,
        floods_of_frames,
        resets_without_end,
        many_streams_at_once,
        many_large_heads_at_once,
        control_lines_without_end,
        control_streams_that_lie,
        control_streams_without_end,
        drains_without_end,
        no_messages,
        registrations_without_end,
    ])
}
