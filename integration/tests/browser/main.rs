//! What web pages can do to clusters, in a real Chromium: a hostile site's, and one
//! cluster's to another and to the server. Every attack is shown to work where
//! nothing protects.

mod attack;
mod by_hostname;
mod by_path;
mod foreign;
mod programs;
mod site;
mod stage;

use std::process::ExitCode;

use by_hostname::{
    a_cluster_says_nothing_for_its_host, a_clusters_page_cannot_reach_another_cluster,
    cookies_stay_on_their_host,
};
use by_path::{
    a_clusters_page_has_no_origin_and_no_scripts, by_path_no_text_becomes_a_script,
    by_path_nothing_is_kept,
};
use foreign::{
    a_link_shows_a_page_and_no_more, a_logged_out_browser_sends_nothing_to_a_cluster,
    cookies_help_no_foreign_page, every_attack_works_where_nothing_protects,
    headers_of_an_extension_help_no_foreign_page,
};
use integration::{suite, tests};
use programs::pythons_websockets_are_served;

fn main() -> ExitCode {
    suite::run(tests![
        every_attack_works_where_nothing_protects,
        a_logged_out_browser_sends_nothing_to_a_cluster,
        cookies_help_no_foreign_page,
        headers_of_an_extension_help_no_foreign_page,
        a_link_shows_a_page_and_no_more,
        a_clusters_page_has_no_origin_and_no_scripts,
        by_path_no_text_becomes_a_script,
        by_path_nothing_is_kept,
        a_clusters_page_cannot_reach_another_cluster,
        cookies_stay_on_their_host,
        a_cluster_says_nothing_for_its_host,
        pythons_websockets_are_served,
    ])
}
