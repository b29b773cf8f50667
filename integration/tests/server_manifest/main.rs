//! tunnel-server's manifests: the Kustomize base with its components, and the Helm
//! chart, as kubectl, helm, the API server and tunnel-server itself read them.

mod admission;
mod agree;
mod config;
mod refusals;
mod renderings;

use std::process::ExitCode;

use integration::{suite, tests};

use admission::{
    a_gateway_takes_what_is_for_it, the_api_server_takes_each_choice, the_command_makes_its_secret,
    the_pod_is_restricted,
};
use agree::{the_chart_makes_what_kustomize_makes, the_versions_are_the_workspaces};
use config::{the_pod_has_what_the_flags_and_the_file_name, the_server_takes_each_configuration};
use refusals::{a_token_in_place_of_a_hash_is_not_repeated, bad_values_are_refused_in_words};

fn main() -> ExitCode {
    suite::run(tests![
        a_gateway_takes_what_is_for_it,
        a_token_in_place_of_a_hash_is_not_repeated,
        bad_values_are_refused_in_words,
        the_api_server_takes_each_choice,
        the_chart_makes_what_kustomize_makes,
        the_command_makes_its_secret,
        the_pod_has_what_the_flags_and_the_file_name,
        the_pod_is_restricted,
        the_server_takes_each_configuration,
        the_versions_are_the_workspaces,
    ])
}
