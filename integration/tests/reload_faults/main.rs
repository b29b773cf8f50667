//! Whatever becomes of the files that the server watches: the last good ones stay
//! in force, each fault is told once, and what is good again is taken.

mod alone;
mod certificate;
mod config_faults;
mod many_clusters;
mod permission;
mod storm;

use std::process::ExitCode;

use certificate::{a_pair_changes_as_one, a_pair_that_does_not_match_is_told_once};
use config_faults::{each_fault_is_told_once, kubernetes_swaps_the_file};
use integration::{suite, tests};
use many_clusters::ten_thousand_clusters;
use permission::a_file_that_may_not_be_read;
use storm::a_hundred_rewrites_a_second;

fn main() -> ExitCode {
    suite::run(tests![
        each_fault_is_told_once,
        kubernetes_swaps_the_file,
        a_file_that_may_not_be_read,
        a_pair_changes_as_one,
        a_pair_that_does_not_match_is_told_once,
        a_hundred_rewrites_a_second,
        ten_thousand_clusters,
    ])
}
