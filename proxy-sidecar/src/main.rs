//! `proxy-sidecar`, which is all in its library.

use std::process::ExitCode;

fn main() -> ExitCode {
    proxy_sidecar::main()
}
