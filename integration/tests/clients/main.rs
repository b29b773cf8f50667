//! What people point at kubectl proxy, pointed at proxy-sidecar: client-go, Python's
//! client, curl, and pages of a real Chromium.

mod client_go;
mod curl;
mod pages;
mod python_client;
mod stage;

use std::process::ExitCode;

use client_go::{
    go_discovery, go_exec_answered, go_exec_refused, go_informer, go_logs, go_objects,
    go_port_forward, go_unknown_types, go_watch, its_modules_are_kubernetes_own,
};
use curl::{
    curl_changes_objects, curl_gets, curl_over_a_unix_socket, curl_sends_much, curl_watches,
};
use integration::{suite, tests};
use pages::{a_page_beside_the_api, pages_of_other_origins};
use python_client::{python_exec, python_objects, python_watch};

fn main() -> ExitCode {
    suite::run(tests![
        its_modules_are_kubernetes_own,
        go_objects,
        go_unknown_types,
        go_watch,
        go_informer,
        go_discovery,
        go_logs,
        go_exec_refused,
        go_exec_answered,
        go_port_forward,
        python_objects,
        python_watch,
        python_exec,
        curl_gets,
        curl_watches,
        curl_sends_much,
        curl_changes_objects,
        curl_over_a_unix_socket,
        a_page_beside_the_api,
        pages_of_other_origins,
    ])
}
