//! The connector's pod in a real cluster, from our images and our manifests, with
//! tunnel-server outside the cluster as a container of its own; called by hostname.

mod caller;
mod connector;
mod first_call;
mod images;
mod server;
mod stage;
mod workload;

use std::process::ExitCode;

use integration::suite;
use stage::Stage;

/// Names the tests of this folder, which share a [`Stage`].
macro_rules! pod_tests {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$((
            stringify!($name),
            (|stage| Box::pin($module::$name(stage))) as suite::Test<Stage>,
        )),+]
    };
}

fn main() -> ExitCode {
    if let Err(error) = server::lead_testcontainers_to_the_engine() {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    suite::run_sharing(
        Stage::default(),
        pod_tests![first_call::kubectl_reads_the_cluster_through_the_pod,],
    )
}
