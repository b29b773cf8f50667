//! The connector's manifests: the file that the README applies, the Kustomize
//! base and components, and the Helm chart, as kubectl, helm, the API server and
//! our own binaries read them.

mod admission;
mod agree;
mod charts;
mod choice;
mod flags;
mod kubectl;
mod network_policy;
mod objects;
mod pod;
mod refusals;
mod render;
mod rights;
mod values;

use std::process::ExitCode;

use integration::{suite, tests};

use admission::the_api_server_takes_each_choice_without_a_warning;
use agree::{
    a_difference_is_found, one_role_at_a_time, the_chart_makes_what_kustomize_makes,
    the_one_file_is_the_base_joined, the_versions_are_the_workspaces,
};
use charts::{
    helm_leaves_what_is_the_users, helm_takes_the_documents_command, two_releases_live_side_by_side,
};
use flags::the_binaries_take_the_flags_of_each_choice;
use network_policy::the_policy_lets_pass_what_the_pod_needs;
use pod::{
    each_container_holds_one_credential, the_api_server_takes_the_one_file,
    the_readmes_command_makes_its_secret, the_secret_of_8001_is_in_memory,
};
use refusals::{bad_values_are_refused_in_words, no_credential_fits_into_values};
use rights::{
    cluster_admin_may_all, edit_may_exec_but_not_bind, impersonate_is_bounded_by_names,
    namespaced_ends_at_the_namespaces, view_reads_no_secrets,
};
use values::{every_value_is_shown, values_of_no_component_reach_the_pod};

fn main() -> ExitCode {
    suite::run(tests![
        a_difference_is_found,
        bad_values_are_refused_in_words,
        cluster_admin_may_all,
        each_container_holds_one_credential,
        edit_may_exec_but_not_bind,
        every_value_is_shown,
        helm_leaves_what_is_the_users,
        helm_takes_the_documents_command,
        impersonate_is_bounded_by_names,
        namespaced_ends_at_the_namespaces,
        no_credential_fits_into_values,
        one_role_at_a_time,
        the_api_server_takes_each_choice_without_a_warning,
        the_api_server_takes_the_one_file,
        the_binaries_take_the_flags_of_each_choice,
        the_chart_makes_what_kustomize_makes,
        the_one_file_is_the_base_joined,
        the_policy_lets_pass_what_the_pod_needs,
        the_readmes_command_makes_its_secret,
        the_secret_of_8001_is_in_memory,
        the_versions_are_the_workspaces,
        two_releases_live_side_by_side,
        values_of_no_component_reach_the_pod,
        view_reads_no_secrets,
    ])
}
