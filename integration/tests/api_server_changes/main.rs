//! What changes about an API server and its credentials while proxy-sidecar runs:
//! tokens, restarts, certificates and their CA; and the kubeconfigs that say who it
//! is by other ways than a token. It goes on, or comes back by itself, and its log
//! says what happened.

mod certificates;
mod kubeconfigs;
mod plugins;
mod pod;
mod restarts;
mod tokens;

use std::process::ExitCode;

use certificates::{
    a_certificate_that_is_its_own_ca, a_new_ca, a_self_made_certificate, new_client_certificates,
};
use integration::environment::Environment;
use integration::{suite, tests};
use kubeconfigs::client_certificates;
use plugins::{
    a_start_whose_exec_plugin_hangs, an_exec_plugin_that_fails_once, an_exec_plugin_that_hangs,
    exec_plugins, exec_plugins_with_certificates,
};
use restarts::{a_new_certificate, a_restarted_api_server};
use tokens::{
    a_callers_own_token_says_nothing_of_ours, a_service_account_made_anew, an_expired_token,
    tokens_renewed_in_time,
};

fn main() -> ExitCode {
    // They wait more than they work.
    let at_once = Some(4);
    let tests = tests![
        tokens_renewed_in_time,
        an_expired_token,
        a_service_account_made_anew,
        a_callers_own_token_says_nothing_of_ours,
        a_restarted_api_server,
        a_new_certificate,
        a_new_ca,
        new_client_certificates,
        a_self_made_certificate,
        a_certificate_that_is_its_own_ca,
        client_certificates,
        exec_plugins,
        exec_plugins_with_certificates,
        an_exec_plugin_that_fails_once,
        an_exec_plugin_that_hangs,
        a_start_whose_exec_plugin_hangs,
    ];
    suite::run_sharing(Environment::default(), at_once, tests)
}
