//! The listener that strangers reach: whatever they do costs little, ends, and
//! keeps nobody else out.

mod bystander;
mod crowds;
mod floods;
mod h2_stranger;
mod handshakes;
mod limits;
mod slow;
mod strangers;
mod targets;
mod unproved_requests;

use std::process::ExitCode;

use crowds::{
    a_crowd_from_one_address, links_and_upgraded_connections_count,
    out_of_files_the_listener_rests, proved_connections_are_the_callers,
};
use floods::{a_flood_of_frames, a_header_block_without_end, more_resets_than_a_caller_needs};
use handshakes::{a_token_in_a_loop_fills_neither_disk_nor_log, handshakes_at_once_have_a_bound};
use integration::environment::Environment;
use integration::{suite, tests};
use limits::{
    a_callers_and_a_clusters_open_requests, a_callers_rate, a_clusters_rate,
    failures_of_an_address, failures_of_connectors,
};
use local_kubernetes::Options;
use slow::{
    a_first_line_that_crawls, a_hello_that_crawls, a_preface_that_never_comes, headers_without_end,
};
use strangers::{
    connections_that_prove_nothing_end, refusals_that_nobody_takes,
    strangers_who_stay_have_half_of_the_places, strangers_who_stay_leave_the_last_place_free,
};
use targets::targets_that_look_like_tokens;
use unproved_requests::{
    bad_handshakes_fill_no_log, many_refusals_fill_neither_disk_nor_log,
    too_many_refusals_end_an_http2_connection,
};

fn main() -> ExitCode {
    let tests = tests![
        a_crowd_from_one_address,
        links_and_upgraded_connections_count,
        out_of_files_the_listener_rests,
        proved_connections_are_the_callers,
        a_flood_of_frames,
        a_header_block_without_end,
        more_resets_than_a_caller_needs,
        a_token_in_a_loop_fills_neither_disk_nor_log,
        handshakes_at_once_have_a_bound,
        a_callers_and_a_clusters_open_requests,
        a_callers_rate,
        a_clusters_rate,
        failures_of_an_address,
        failures_of_connectors,
        a_first_line_that_crawls,
        a_hello_that_crawls,
        a_preface_that_never_comes,
        headers_without_end,
        targets_that_look_like_tokens,
        connections_that_prove_nothing_end,
        refusals_that_nobody_takes,
        strangers_who_stay_have_half_of_the_places,
        strangers_who_stay_leave_the_last_place_free,
        bad_handshakes_fill_no_log,
        many_refusals_fill_neither_disk_nor_log,
        too_many_refusals_end_an_http2_connection,
    ];
    // Most of them wait for a deadline.
    suite::run_sharing(Environment::new(Options::default()), Some(6), tests)
}
