//! Which request reaches which cluster, and as what: by hostname and by path. Byte
//! by byte, as no client library sends what strangers send.

mod calls;
mod forms;
mod http2_paths;
mod names;
mod origins;
mod paths;
mod redirects;
mod sni;
mod stage;

use std::process::ExitCode;

use forms::{both_forms_of_every_url, own_paths_are_on_own_names_only};
use http2_paths::paths_over_http2_that_are_none;
use integration::{suite, tests};
use names::{
    hosts_that_nobody_has, hosts_that_nobody_has_over_http2, malformed_hosts_and_targets,
    malformed_hosts_and_targets_over_http2, one_name_in_many_spellings,
};
use origins::{another_origins_requests_are_refused_first, programs_with_origins_are_served};
use paths::{ambiguous_paths_reach_no_link, the_same_request_by_host_and_by_path};
use redirects::{
    by_path_no_redirect_leads_out_of_the_cluster, nobody_follows_redirects,
    reqwest_follows_into_the_same_cluster,
};
use sni::the_host_routes_whatever_the_sni;

fn main() -> ExitCode {
    suite::run(tests![
        the_same_request_by_host_and_by_path,
        ambiguous_paths_reach_no_link,
        paths_over_http2_that_are_none,
        one_name_in_many_spellings,
        hosts_that_nobody_has,
        hosts_that_nobody_has_over_http2,
        malformed_hosts_and_targets,
        malformed_hosts_and_targets_over_http2,
        the_host_routes_whatever_the_sni,
        own_paths_are_on_own_names_only,
        both_forms_of_every_url,
        another_origins_requests_are_refused_first,
        programs_with_origins_are_served,
        by_path_no_redirect_leads_out_of_the_cluster,
        reqwest_follows_into_the_same_cluster,
        nobody_follows_redirects,
    ])
}
