//! Secrets in every place where one can be, and a search for them in all that the
//! three processes show: logs at every level and in both forms, the audit log,
//! metrics, answers of their own, arguments and environment.

mod children;
mod loose_files;
mod planted;
mod processes;
mod requests;
mod shown;
mod starts;

use std::process::ExitCode;

use children::a_credential_plugin_gets_no_secret_of_ours;
use integration::{suite, tests};
use loose_files::{files_of_a_pod_are_not, files_that_others_may_read_are_warned_of};
use processes::no_core_and_no_look_into_the_server;
use shown::{requests_show_nothing_in_json, requests_show_nothing_in_text};
use starts::refused_starts_show_nothing;

fn main() -> ExitCode {
    suite::run(tests![
        requests_show_nothing_in_json,
        requests_show_nothing_in_text,
        refused_starts_show_nothing,
        a_credential_plugin_gets_no_secret_of_ours,
        files_that_others_may_read_are_warned_of,
        files_of_a_pod_are_not,
        no_core_and_no_look_into_the_server,
    ])
}
