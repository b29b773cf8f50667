//! proxy-sidecar towards the API server: HTTP/2 connections as streams fill, goodbyes,
//! readers that stand still, callers that go away, and proxies on the way.

mod goodbye;
mod limits;
mod many;
mod on_the_way;
mod played;
mod sidecar;
mod stalled;

use std::process::ExitCode;

use goodbye::goodbyes_cost_no_request;
use integration::{suite, tests};
use limits::{what_a_goodbye_overtakes_goes_over_http1_too, who_lets_few_in_gets_more_connections};
use local_kubernetes::Options;
use many::a_thousand_watches_and_two_hundred_upgrades;
use on_the_way::{
    an_http_proxy, no_proxy_and_this_machine, proxies_of_the_environment, refusals_name_the_proxy,
};
use stalled::who_reads_nothing_holds_a_window;

fn main() -> ExitCode {
    // The most that it takes: one in fifty requests ends its connection.
    let goodbyes = "--goaway-chance=0.02".to_owned();
    let options = Options {
        api_server_arguments: vec![goodbyes],
        audit: false,
        ..Options::default()
    };
    suite::run_with(
        options,
        tests![
            a_thousand_watches_and_two_hundred_upgrades,
            goodbyes_cost_no_request,
            who_lets_few_in_gets_more_connections,
            what_a_goodbye_overtakes_goes_over_http1_too,
            who_reads_nothing_holds_a_window,
            an_http_proxy,
            proxies_of_the_environment,
            no_proxy_and_this_machine,
            refusals_name_the_proxy,
        ],
    )
}
