//! Keeps other processes of the same user out: a debug container that shares the
//! pod's processes runs as the same user more often than not.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// From now on only root, or who may trace any process, reads this one's memory,
/// environment and file system under `/proc`. No core is dumped either.
///
/// # Errors
/// When the system refuses.
pub fn make() -> std::io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
