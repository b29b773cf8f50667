//! `tunnel-client`, which is all in its library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tunnel_client::main()
}
