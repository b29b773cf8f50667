//! Links over networks that lose packets, fall silent, reset connections, or lead
//! elsewhere: tunnel-client is in a network namespace, behind a firewall that changes.

mod beside_bulk;
mod dual_stack;
mod loss;
mod moved;
mod silent;
mod stage;
mod suspended;

use std::process::ExitCode;

use integration::environment::Environment;
use integration::{suite, tests};

use beside_bulk::small_requests_pass_bulk;
use dual_stack::{addresses_that_lead_nowhere_cost_a_moment, all_addresses_that_fail_are_told};
use loss::{a_reset_is_noticed_at_once, packets_that_are_lost_cost_time_only};
use moved::a_server_that_moved_is_found;
use silent::{a_silent_network_is_noticed, one_that_is_silent_one_way_is_noticed};
use suspended::a_client_that_slept_is_back_at_once;

fn main() -> ExitCode {
    // They wait more than they work.
    let at_once = Some(4);
    let tests = tests![
        a_silent_network_is_noticed,
        one_that_is_silent_one_way_is_noticed,
        a_reset_is_noticed_at_once,
        packets_that_are_lost_cost_time_only,
        a_server_that_moved_is_found,
        addresses_that_lead_nowhere_cost_a_moment,
        all_addresses_that_fail_are_told,
        small_requests_pass_bulk,
        a_client_that_slept_is_back_at_once,
    ];
    suite::run_sharing(Environment::default(), at_once, tests)
}
