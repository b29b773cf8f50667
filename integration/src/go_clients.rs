//! The program that calls an API with client-go; its sources are a Go module beside
//! the tests that run it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use local_kubernetes::obtain_go_program;

/// Where its sources are.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/go")
}

/// The program's path; it is built once. Blocks.
pub fn obtain(progress: &dyn Fn(&str)) -> Result<PathBuf> {
    obtain_go_program("clients", &sources(), progress)
}
