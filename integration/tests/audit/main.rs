//! The audit log: whatever becomes of a request, it has its line, and nothing
//! secret stands in it; and what happens when it cannot be written.

mod broken_sink;
mod held_lines;
mod lines;
mod links;
mod masked;
mod resources;
mod rotation;
mod streams;
mod ways_out;

use std::process::ExitCode;

use broken_sink::{a_full_disk_stops_requests, a_pipe_nobody_reads, requests_pass_where_they_may};
use held_lines::long_targets_are_held_short;
use integration::{suite, tests};
use links::links_have_lines;
use masked::nothing_secret_is_shown;
use resources::requests_are_read_as_the_api_server_reads_them;
use rotation::a_file_that_is_moved_away;
use streams::{a_drained_server, a_link_that_breaks, streams_start_and_are_cut};
use ways_out::{each_way_out_has_one_line, limits_have_lines};

fn main() -> ExitCode {
    suite::run(tests![
        each_way_out_has_one_line,
        limits_have_lines,
        streams_start_and_are_cut,
        a_link_that_breaks,
        a_drained_server,
        links_have_lines,
        requests_are_read_as_the_api_server_reads_them,
        nothing_secret_is_shown,
        a_full_disk_stops_requests,
        a_pipe_nobody_reads,
        requests_pass_where_they_may,
        long_targets_are_held_short,
        a_file_that_is_moved_away,
    ])
}
