//! One tunnel-client and several links: to two replicas of the server, by two names or
//! behind one, and more under load.

mod apart;
mod behind_one_name;
mod drain;
mod hold;
mod load;
mod load_balancer;
mod stage;

use std::process::ExitCode;

use integration::{suite, tests};

use apart::{
    a_lost_replica_is_found_again, a_refusal_by_one_leaves_the_other,
    a_replica_that_drains_costs_no_request,
};
use behind_one_name::{each_replica_has_a_link, only_one_there_has_one_link};
use drain::{
    a_clients_does_so_too, a_servers_drain_ends_watches_at_a_border_and_streams_at_its_deadline,
};
use hold::{a_request_waits_for_a_link, or_is_refused_at_once};
use load::another_link_comes_and_goes;
use load_balancer::a_planned_restart_costs_no_request;

fn main() -> ExitCode {
    suite::run(tests![
        a_lost_replica_is_found_again,
        a_refusal_by_one_leaves_the_other,
        a_replica_that_drains_costs_no_request,
        each_replica_has_a_link,
        only_one_there_has_one_link,
        another_link_comes_and_goes,
        a_request_waits_for_a_link,
        or_is_refused_at_once,
        a_planned_restart_costs_no_request,
        a_servers_drain_ends_watches_at_a_border_and_streams_at_its_deadline,
        a_clients_does_so_too,
    ])
}
