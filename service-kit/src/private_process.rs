//! Keeps other processes of the same user out: a debug container that shares the
//! pod's processes runs as the same user more often than not.

/// From now on only root, or who may trace any process, reads this one's memory,
/// environment and file system under `/proc`. No core is dumped either. Pods run on
/// Linux; elsewhere nothing is done.
///
/// # Errors
/// When the system refuses.
pub fn make() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn the_kernel_knows_that_it_is_private() {
        super::make().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
