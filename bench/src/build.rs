//! Our own binaries, built as they are shipped.

use std::process::Command;

use anyhow::{Result, ensure};

/// What a chain runs.
pub const CHAIN: &[&str] = &["tunnel-server", "tunnel-client", "proxy-sidecar"];

/// Builds these beside this program, unless another folder is named by
/// `CULVERT_BIN_DIR`. Old ones would be measured without a word.
pub fn release(binaries: &[&str]) -> Result<()> {
    if std::env::var_os("CULVERT_BIN_DIR").is_some() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet"]);
    for binary in binaries {
        command.args(["--package", binary]);
    }
    ensure!(
        command.status()?.success(),
        "the binaries could not be built"
    );
    Ok(())
}
