//! A test file with a `main` of its own, so that its tests share a control
//! plane that is stopped when they are done. Takes cargo test's arguments.

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use local_kubernetes::Options;

use crate::environment::Environment;

/// A test: takes what its suite shares.
pub type Test<E = Environment> = fn(Arc<E>) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a suite's tests share; stopped when they are done.
pub trait Shared: Send + Sync + 'static {
    /// Ends it.
    fn stop(self) -> impl Future<Output = Result<()>>;
}

impl Shared for Environment {
    fn stop(self) -> impl Future<Output = Result<()>> {
        Self::stop(self)
    }
}

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
    run_sharing(Environment::new(options), None, tests)
}

/// Runs the tests, which share `shared`; `at_once` many at a time, where nothing
/// else is asked for: by default as many as there are processors.
pub fn run_sharing<E: Shared>(
    shared: E,
    at_once: Option<usize>,
    tests: Vec<(&'static str, Test<E>)>,
) -> ExitCode {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(at_once);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shared = Arc::new(shared);
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            let (runtime, shared) = (runtime.clone(), shared.clone());
            Trial::test(name, move || {
                runtime
                    .block_on(test(shared))
                    .map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(shared) = Arc::into_inner(shared)
        && let Err(error) = runtime.block_on(shared.stop())
    {
        eprintln!("what the tests share did not stop: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
