//! A test file with a `main` of its own, so that its tests share a control
//! plane that is stopped when they are done. Takes cargo test's arguments.

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use local_kubernetes::Options;

use crate::environment::Environment;

/// A test: takes the suite's environment.
pub type Test = fn(Arc<Environment>) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Names async functions `fn(Arc<Environment>) -> Result<()>` as tests.
#[macro_export]
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        vec![$((stringify!($name), (|environment| Box::pin($name(environment))) as $crate::suite::Test)),+]
    };
}

/// Runs the tests against a control plane with its default options.
pub fn run(tests: Vec<(&'static str, Test)>) -> ExitCode {
    run_with(Options::default(), tests)
}

/// Runs the tests against a control plane.
pub fn run_with(options: Options, tests: Vec<(&'static str, Test)>) -> ExitCode {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let arguments = Arguments::from_args();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let environment = Arc::new(Environment::new(options));
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            let (runtime, environment) = (runtime.clone(), environment.clone());
            Trial::test(name, move || {
                runtime
                    .block_on(test(environment))
                    .map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(environment) = Arc::into_inner(environment)
        && let Err(error) = runtime.block_on(environment.stop())
    {
        eprintln!("the control plane did not stop: {error:#}");
    }
    conclusion.exit_code()
}
