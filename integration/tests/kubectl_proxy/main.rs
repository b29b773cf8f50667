//! proxy-sidecar in the place of `kubectl proxy`: both are sent the same bytes, and
//! have to ask the upstream the same and to answer the same, but for what is named.

mod answers;
mod broken;
mod compare;
mod credentials;
mod exec_paths;
mod files;
mod filter;
mod flags;
mod generated;
mod keepalive;
mod limits;
mod listed;
mod malformed;
mod odd_upgrades;
mod proxies;
mod requests_at_random;
mod spellings;
mod targets;
mod trailers;
mod upgrades;

use std::process::ExitCode;

use answers::answers_come_through;
use broken::{
    answers_that_are_cut, answers_that_are_none, broken_in_kubectls_words, callers_that_go,
    early_answers, events_pass_one_by_one, odd_answers, requests_that_are_cut, what_kubectl_adds,
};
use credentials::{
    as_somebody_else, passwords, the_callers_or_the_proxys, unreachable_in_kubectls_words,
    user_agents,
};
use exec_paths::exec_and_attach_in_every_spelling;
use files::static_files;
use filter::{empty_lists, filtered, with_kubectls_errors, without_a_filter};
use flags::{a_unix_socket, mistakes, no_port_but_its_own};
use generated::paths_at_random;
use integration::{suite, tests};
use keepalive::keepalives;
use limits::{endless_heads, large_heads, pipelined, single_bytes, slow_first_lines};
use listed::{at_another_prefix, at_the_root, below_a_servers_path, connections_stay_open};
use malformed::{first_lines, framings, header_lines, malformed_in_kubectls_words, no_http2};
use odd_upgrades::{
    answers_to_a_switch, early_bytes, half_closed, headers_of_a_switch, what_asks_to_switch,
};
use requests_at_random::requests_at_random;
use targets::{odd_targets, odd_targets_below_a_prefix};
use trailers::{
    bodies_that_wait_to_be_asked_for, informational_answers, trailers_of_answers,
    trailers_of_requests,
};
use upgrades::{refusals, switches};

fn main() -> ExitCode {
    suite::run(tests![
        at_the_root,
        at_another_prefix,
        below_a_servers_path,
        filtered,
        without_a_filter,
        empty_lists,
        connections_stay_open,
        with_kubectls_errors,
        framings,
        first_lines,
        malformed_in_kubectls_words,
        header_lines,
        no_http2,
        odd_targets,
        odd_targets_below_a_prefix,
        static_files,
        paths_at_random,
        requests_at_random,
        answers_come_through,
        answers_that_are_none,
        answers_that_are_cut,
        odd_answers,
        broken_in_kubectls_words,
        requests_that_are_cut,
        what_kubectl_adds,
        early_answers,
        callers_that_go,
        events_pass_one_by_one,
        trailers_of_answers,
        trailers_of_requests,
        informational_answers,
        bodies_that_wait_to_be_asked_for,
        switches,
        refusals,
        what_asks_to_switch,
        answers_to_a_switch,
        early_bytes,
        half_closed,
        headers_of_a_switch,
        the_callers_or_the_proxys,
        as_somebody_else,
        passwords,
        user_agents,
        unreachable_in_kubectls_words,
        keepalives,
        exec_and_attach_in_every_spelling,
        large_heads,
        endless_heads,
        slow_first_lines,
        single_bytes,
        pipelined,
        mistakes,
        a_unix_socket,
        no_port_but_its_own,
    ])
}
