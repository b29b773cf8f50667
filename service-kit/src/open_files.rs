//! How many files a process may have open, of which each connection is one.

/// Raises this process' limit to what it may have, and returns it. The lower one
/// is for programs that use `select`; shells and service managers set it to 1,024.
#[must_use]
pub fn raise_limit() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limits = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limits.maximum,
            maximum: limits.maximum,
        };
        let allowed = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limits.maximum,
            Err(error) => {
                tracing::debug!(%error, "the limit on open files stays as it is");
                limits.current
            }
        };
        allowed.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        })
    }
    #[cfg(not(unix))]
    usize::MAX
}

#[cfg(all(test, unix))]
mod tests {
    #[test]
    fn it_is_what_the_system_allows() {
        let raised = super::raise_limit();
        assert!(raised >= 256, "{raised}");
        assert_eq!(super::raise_limit(), raised);
    }
}
