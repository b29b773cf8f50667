//! `tunnel-server`, which is all in its library but for the allocator: a program has one.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tunnel_server::main()
}
