//! How a binary ends.

use std::error::Error;
use std::process::ExitCode;

use http_relay::body::error_chain;

/// The exit code of what a `main` did. A failure is told in one line on standard
/// error: what went wrong and nothing else, no backtrace, whatever the
/// environment asks for.
pub fn code<E>(done: Result<(), E>) -> ExitCode
where
    E: AsRef<dyn Error + Send + Sync>,
{
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
