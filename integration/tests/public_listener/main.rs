//! The listener that strangers reach: whatever they do costs little, ends, and
//! keeps nobody else out.

mod bystander;
mod crowds;
mod floods;
mod limits;
mod slow;
mod targets;

use std::process::ExitCode;

use crowds::{
    a_crowd_from_one_address, links_and_upgraded_connections_count,
    out_of_files_the_listener_rests, proved_connections_are_the_callers,
};
use floods::{a_flood_of_frames, a_header_block_without_end, more_resets_than_a_caller_needs};
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
use targets::targets_that_look_like_tokens;

fn main() -> ExitCode {
    let tests = tests![
        a_crowd_from_one_address,
        links_and_upgraded_connections_count,
        out_of_files_the_listener_rests,
        proved_connections_are_the_callers,
        a_flood_of_frames,
        a_header_block_without_end,
        more_resets_than_a_caller_needs,
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
    ];
    // Most of them wait for a deadline.
    suite::run_sharing(Environment::new(Options::default()), Some(6), tests)
}
