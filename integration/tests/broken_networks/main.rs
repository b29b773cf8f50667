//! Networks in which no link comes up, or none that lives: `tunnel-client check` says at
//! which step, which box it is, and what to do; so does the log of a start, once.

mod addresses;
mod answers;
mod behind;
mod certificates;
mod log;
mod middlebox;
mod proxies;
mod quiet;
mod report;
mod stripped;
mod tls;
mod works;

use std::process::ExitCode;

use addresses::addresses_that_lead_nowhere;
use answers::{answers_of_our_own_server, answers_of_somebody_else, links_that_do_not_live};
use behind::what_is_behind_fails;
use integration::environment::Environment;
use integration::{suite, tests};
use local_kubernetes::Options;
use log::the_log_tells_the_steps_once;
use proxies::proxies_that_lead_nowhere;
use quiet::quiet_links_that_are_cut_are_pinged_past;
use stripped::{boxes_that_strip_all, boxes_that_strip_one};
use tls::tls_that_fails;
use works::{a_check_takes_no_requests, all_steps_are_told};

fn main() -> ExitCode {
    let tests = tests![
        addresses_that_lead_nowhere,
        answers_of_our_own_server,
        answers_of_somebody_else,
        links_that_do_not_live,
        what_is_behind_fails,
        the_log_tells_the_steps_once,
        proxies_that_lead_nowhere,
        quiet_links_that_are_cut_are_pinged_past,
        boxes_that_strip_all,
        boxes_that_strip_one,
        tls_that_fails,
        a_check_takes_no_requests,
        all_steps_are_told,
    ];
    // Most of them wait for a deadline.
    suite::run_sharing(Environment::new(Options::default()), Some(4), tests)
}
