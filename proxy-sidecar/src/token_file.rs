//! A service account's token, which the kubelet replaces while the pod runs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use thiserror::Error;

/// As client-go: kept 60 s, read anew 10 s before that.
const KEEP: Duration = Duration::from_secs(50);

/// The last token that was read from a file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    last: Mutex<Option<(HeaderValue, Instant)>>,
}

/// There is no token, and there never was one.
#[derive(Debug, Error)]
#[error("cannot read the service account's token from {path}: {fault}", path = .path.display())]
pub(crate) struct TokenFileError {
    path: PathBuf,
    fault: String,
}

impl TokenFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            last: Mutex::new(None),
        }
    }

    /// The `Authorization` header, read anew where it is due. The last good token
    /// outlives a file that is missing or empty for a moment.
    pub(crate) fn header(&self) -> Result<HeaderValue, TokenFileError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((header, read)) = last.as_ref()
            && read.elapsed() < KEEP
        {
            return Ok(header.clone());
        }
        match (self.read(), last.as_mut()) {
            (Ok(header), _) => {
                *last = Some((header.clone(), Instant::now()));
                Ok(header)
            }
            (Err(error), Some((header, _))) => {
                tracing::warn!(%error, "the last good token is used");
                Ok(header.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Forgets how old the token is: the next request reads it anew.
    pub(crate) fn refresh(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((header, _)) = last.take()
            && let Some(past) = Instant::now().checked_sub(KEEP)
        {
            *last = Some((header, past));
        }
    }

    fn read(&self) -> Result<HeaderValue, TokenFileError> {
        let fault = |fault: String| TokenFileError {
            path: self.path.clone(),
            fault,
        };
        // A few kilobytes on tmpfs, once in 50 s: not worth a thread.
        let text = std::fs::read_to_string(&self.path).map_err(|error| fault(error.to_string()))?;
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

    #[test]
    fn trimmed_re_read_and_the_last_good_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let file = TokenFile::new(&path);
        assert!(file.header().is_err());
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(file.header().unwrap(), "Bearer one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(
            file.header().unwrap(),
            "Bearer one",
            "within its time the token is not read again"
        );
        file.refresh();
        assert_eq!(file.header().unwrap(), "Bearer two");
        std::fs::write(&path, "").unwrap();
        file.refresh();
        assert_eq!(
            file.header().unwrap(),
            "Bearer two",
            "an empty file keeps the last good token"
        );
        assert!(file.header().unwrap().is_sensitive());
    }
}
