//! proxy-sidecar in the place of `kubectl proxy`: both are sent the same bytes, and
//! have to ask the upstream the same and to answer the same, but for what is named.

mod answers;
mod compare;
mod files;
mod flags;
mod generated;
mod listed;
mod proxies;
mod upgrades;

use std::process::ExitCode;

use answers::answers_come_through;
use files::static_files;
use flags::{a_unix_socket, mistakes, no_port_but_its_own};
use generated::paths_at_random;
use integration::{suite, tests};
use listed::{
    at_another_prefix, at_the_root, below_a_servers_path, filtered, with_kubectls_errors,
    without_a_filter,
};
use upgrades::{refusals, switches};

fn main() -> ExitCode {
    suite::run(tests![
        at_the_root,
        at_another_prefix,
        below_a_servers_path,
        filtered,
        without_a_filter,
        with_kubectls_errors,
        static_files,
        paths_at_random,
        answers_come_through,
        switches,
        refusals,
        mistakes,
        a_unix_socket,
        no_port_but_its_own,
    ])
}
