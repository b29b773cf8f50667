//! A service account's token, which the kubelet replaces while the pod runs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use service_kit::{file_watch, secret_file};
use thiserror::Error;

/// As client-go: kept 60 s, read anew 10 s before that.
const KEEP: Duration = Duration::from_secs(50);
/// After a failed reading.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// However many 401s there are, the file is read for them at most once in this
/// time.
const BETWEEN_REFRESHES: Duration = Duration::from_secs(1);

/// While there is no token at all.
const BETWEEN_READINGS: Duration = Duration::from_secs(1);

/// The last token that was read from a file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    last: Mutex<Last>,
}

/// What came of the last readings.
#[derive(Debug)]
enum Last {
    NotRead,
    /// There never was a token: callers in their numbers are told so without a reading
    /// for each.
    Failed {
        error: TokenFileError,
        read_again: Instant,
    },
    Token(Held),
}

#[derive(Debug)]
struct Held {
    header: HeaderValue,
    read_again: Instant,
    /// The last reading that a 401 brought about.
    refreshed: Option<Instant>,
    /// Whether the last reading failed, which was told.
    failed: bool,
}

/// There is no token, and there never was one.
#[derive(Clone, Debug, Error)]
#[error("cannot read the service account's token from {path}: {fault}", path = .path.display())]
pub(crate) struct TokenFileError {
    path: PathBuf,
    fault: String,
}

impl Last {
    fn token(&mut self) -> Option<&mut Held> {
        match self {
            Self::Token(held) => Some(held),
            _ => None,
        }
    }
}

impl TokenFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            last: Mutex::new(Last::NotRead),
        }
    }

    /// The `Authorization` header, read anew where it is due. The last good token
    /// outlives a file that is missing or empty for a moment.
    pub(crate) fn header(&self) -> Result<HeaderValue, TokenFileError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &*last {
            Last::Token(held) if now < held.read_again => return Ok(held.header.clone()),
            Last::Failed { error, read_again } if now < *read_again => return Err(error.clone()),
            _ => {}
        }
        match (self.read(), &mut *last) {
            (Ok(header), before) => {
                let before = before.token();
                let refreshed = before.as_ref().and_then(|held| held.refreshed);
                if before.is_some_and(|held| held.header != header) {
                    let file = self.path.display();
                    tracing::info!(%file, "the token was renewed");
                }
                *last = Last::Token(Held {
                    header: header.clone(),
                    read_again: now + KEEP,
                    refreshed,
                    failed: false,
                });
                Ok(header)
            }
            (Err(error), Last::Token(held)) => {
                if !held.failed {
                    tracing::warn!(%error, "the last good token is used");
                }
                held.failed = true;
                held.read_again = now + TRY_AGAIN;
                Ok(held.header.clone())
            }
            (Err(error), none) => {
                *none = Last::Failed {
                    error: error.clone(),
                    read_again: now + BETWEEN_READINGS,
                };
                Err(error)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The API server rejected this one: it is read anew before its time. False if it
    /// is not the token in use any more, and nothing is to be done.
    pub(crate) fn rejected(&self, header: &HeaderValue) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = last.token().filter(|held| held.header == header) else {
            return false;
        };
        let now = Instant::now();
        let due = held
            .refreshed
            .map_or(now, |last| now.max(last + BETWEEN_REFRESHES));
        if due < held.read_again {
            held.read_again = due;
            held.refreshed = Some(due);
        }
        true
    }

    fn read(&self) -> Result<HeaderValue, TokenFileError> {
        let fault = |fault: String| TokenFileError {
            path: self.path.clone(),
            fault,
        };
        // A few kilobytes on tmpfs, once in 50 s: not worth a thread.
        secret_file::warn_if_open(&self.path);
        let content =
            file_watch::read(&self.path).map_err(|error| fault(error.fault.to_string()))?;
        let text = String::from_utf8_lossy(&content);
        let token = text.trim();
        if token.is_empty() {
            return Err(fault("it is empty".into()));
        }
        let mut header = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| fault("it holds bytes that no header can carry".into()))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl TokenFile {
        /// As if that much time had passed.
        fn age(&self, by: Duration) {
            match &mut *self.last.lock().unwrap() {
                Last::Token(held) => {
                    held.read_again -= by;
                    held.refreshed = held.refreshed.map(|last| last - by);
                }
                Last::Failed { read_again, .. } => *read_again -= by,
                Last::NotRead => {}
            }
        }
    }

    #[test]
    fn trimmed_re_read_and_the_last_good_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let file = TokenFile::new(&path);
        assert!(file.header().is_err());
        std::fs::write(&path, "one\n").unwrap();
        assert!(
            file.header().is_err(),
            "where there never was one the file is read once in a second"
        );
        file.age(BETWEEN_READINGS);
        assert_eq!(file.header().unwrap(), "Bearer one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(
            file.header().unwrap(),
            "Bearer one",
            "within its time the token is kept"
        );
        file.age(KEEP);
        assert_eq!(file.header().unwrap(), "Bearer two");
        std::fs::write(&path, "").unwrap();
        file.age(KEEP);
        assert_eq!(
            file.header().unwrap(),
            "Bearer two",
            "an empty file keeps the last good one"
        );
        std::fs::write(&path, "three").unwrap();
        assert_eq!(
            file.header().unwrap(),
            "Bearer two",
            "a failed reading is not repeated at once"
        );
        file.age(TRY_AGAIN);
        assert_eq!(file.header().unwrap(), "Bearer three");
        assert!(file.header().unwrap().is_sensitive());
    }

    #[test]
    fn a_rejection_reads_anew_at_most_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one").unwrap();
        let file = TokenFile::new(&path);
        let one = file.header().unwrap();
        std::fs::write(&path, "two").unwrap();
        file.rejected(&one);
        let two = file.header().unwrap();
        assert_eq!(two, "Bearer two", "the first rejection reads at once");
        std::fs::write(&path, "three").unwrap();
        file.rejected(&two);
        assert_eq!(
            file.header().unwrap(),
            "Bearer two",
            "the second follows too soon"
        );
        file.age(BETWEEN_REFRESHES);
        assert_eq!(file.header().unwrap(), "Bearer three");
    }

    #[test]
    fn what_is_said_of_an_older_token_is_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one").unwrap();
        let file = TokenFile::new(&path);
        let one = file.header().unwrap();
        std::fs::write(&path, "two").unwrap();
        file.rejected(&one);
        assert_eq!(file.header().unwrap(), "Bearer two");
        std::fs::write(&path, "three").unwrap();
        file.age(BETWEEN_REFRESHES);
        file.rejected(&one);
        assert_eq!(file.header().unwrap(), "Bearer two");
    }
}
