//! The connector's pod in a real cluster, from our images and our manifests, with
//! tunnel-server outside the cluster as a container of its own; called by hostname.

mod admin_forward;
mod attach;
mod authority;
mod caller;
mod chart;
mod check;
mod choices;
mod connector;
mod copy;
mod desk;
mod echo;
mod exec;
mod faults;
mod first_call;
mod high_availability;
mod images;
mod logs;
mod memory;
mod names;
mod native_sidecar;
mod network_policy;
mod node;
mod operations;
mod payload;
mod port_forward;
mod probes;
mod proxies;
mod readme_steps;
mod release;
mod server;
mod server_in_cluster;
mod sidecar_port;
mod stage;
mod terminal;
mod workload;

use std::process::ExitCode;

use integration::suite;
use stage::Stage;

/// Names tests of this folder, which share a [`Stage`], and run `together` with
/// others or `alone`.
macro_rules! pod_tests {
    ($turn:ident: $($module:ident::$name:ident),+ $(,)?) => {
        vec![$((
            stringify!($name),
            (|stage| Box::pin(async move {
                let turns = stage.clone();
                let _turn = turns.$turn().await;
                $module::$name(stage).await
            })) as suite::Test<Stage>,
        )),+]
    };
}

fn main() -> ExitCode {
    if let Err(error) = server::lead_testcontainers_to_the_engine() {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    let together = pod_tests![
            together:
            first_call::kubectl_reads_the_cluster_through_the_pod,
            first_call::kube_rs_reads_the_cluster_through_the_pod,
            exec::exec_passes_input_output_and_exit_codes,
            exec::exec_carries_100_mb_both_ways,
            exec::exec_with_a_terminal_follows_its_size,
            attach::attach_joins_the_running_process,
            copy::cp_carries_files_and_folders_both_ways,
            port_forward::port_forward_carries_50_connections,
            port_forward::port_forward_passes_a_half_close,
            logs::logs_follow_line_by_line,
            logs::logs_of_the_previous_container,
            proxies::get_raw_reaches_services_and_nodes,
            operations::rollout_restart_is_followed_to_its_end,
            operations::debug_adds_a_container_and_attaches,
            operations::drain_tells_what_it_would_do,
            choices::the_default_lets_callers_read,
            choices::whatever_the_role_some_is_refused,
            choices::edit_changes_and_reads_secrets,
            choices::namespaced_ends_at_the_namespaces,
            choices::pod_security_is_restricted,
            native_sidecar::a_native_sidecar_ends_after_the_client,
            high_availability::two_pods_have_a_link_each,
            high_availability::a_rollout_costs_no_call,
            network_policy::the_policy_lets_the_pods_connections_pass,
            chart::helm_installs_upgrades_and_uninstalls,
            server_in_cluster::a_connector_links_to_the_servers_service,
            server_in_cluster::the_servers_chart_serves,
            readme_steps::the_readmes_steps_lead_to_a_call,
            check::a_check_in_the_pod_says_that_all_works,
            probes::a_client_without_its_server_is_not_ready,
            probes::a_sidecar_without_its_api_server_is_not_ready,
            probes::what_stands_still_is_restarted,
            faults::a_pod_deleted_with_force_is_replaced,
            faults::a_killed_container_is_restarted,
            sidecar_port::the_sidecars_port_serves_its_client_only,
            sidecar_port::no_caller_reaches_the_connectors_pod,
            names::the_servers_name_is_found_in_the_pods_hosts,
            memory::memory_stays_far_below_the_limit,
    ];
    let alone = pod_tests![
        alone:
        faults::a_restarted_kubelet_hinders_no_call,
    ];
    // They wait for pods more than they work.
    let at_once = Some(4);
    suite::run_sharing(Stage::default(), at_once, [together, alone].concat())
}
