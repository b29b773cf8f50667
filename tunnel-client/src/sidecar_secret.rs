//! The secret that the sidecar makes for its tunnel-client, as a header. Taken
//! over again whenever the file changes, as a new sidecar may make another.

use std::path::PathBuf;

use http::HeaderValue;
use service_kit::file_watch::{self, Event, FileFault, FileWatch};
use service_kit::secret_file;
use thiserror::Error;
use tokio::sync::watch;
use tunnel_protocol::token::{Token, TokenError, TokenKind};

/// The last good content of a file.
#[derive(Debug)]
pub(crate) struct SidecarSecret {
    path: PathBuf,
    held: watch::Sender<Option<HeaderValue>>,
}

/// There is no secret yet. Never holds one.
#[derive(Debug, Error)]
pub(crate) enum SidecarSecretError {
    #[error("--sidecar-secret-file {0}")]
    File(#[from] FileFault),
    #[error("--sidecar-secret-file {path}: {cause}", path = .path.display())]
    Content { path: PathBuf, cause: TokenError },
}

impl SidecarSecret {
    /// Knows no secret before [`Self::follow`] has read it.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            held: watch::Sender::new(None),
        }
    }

    /// The header's value, marked as sensitive.
    pub(crate) fn header(&self) -> Result<HeaderValue, SidecarSecretError> {
        match self.held.borrow().clone() {
            Some(header) => Ok(header),
            // Rare, and a hundred bytes: read to tell what is wrong with it.
            None => self.read(),
        }
    }

    /// Waits until there is a secret.
    pub(crate) async fn known(&self) {
        if let Err(error) = self.header() {
            tracing::warn!(%error, "waiting for the sidecar's secret");
        }
        // The sender is ours, so that it never ends.
        drop(self.held.subscribe().wait_for(Option::is_some).await);
    }

    /// Takes over what the file says, until it is dropped.
    pub(crate) async fn follow(&self) {
        let mut file = FileWatch::new(&[&self.path]);
        loop {
            let contents = match file.next().await {
                Event::Changed(contents) => contents,
                Event::Restored => continue,
                Event::Faulty(fault) => {
                    // Before there is one, that is told by whoever waits for it.
                    if self.held.borrow().is_some() {
                        tracing::warn!(%fault, "the sidecar's secret cannot be read, the last one stays");
                    }
                    continue;
                }
            };
            match self.parse(contents.first().map_or(&[], |content| content)) {
                Ok(header) => {
                    self.held.send_replace(Some(header));
                    tracing::info!(file = %self.path.display(), "the sidecar's secret was taken over");
                }
                Err(error) => tracing::warn!(%error, "the sidecar's secret cannot be used"),
            }
        }
    }

    fn read(&self) -> Result<HeaderValue, SidecarSecretError> {
        self.parse(&file_watch::read(&self.path)?)
    }

    fn parse(&self, content: &[u8]) -> Result<HeaderValue, SidecarSecretError> {
        secret_file::warn_if_open(&self.path);
        let wrong = |cause| SidecarSecretError::Content {
            path: self.path.clone(),
            cause,
        };
        let secret = Token::parse(TokenKind::Sidecar, &String::from_utf8_lossy(content));
        let mut header = HeaderValue::from_str(secret.map_err(wrong)?.expose())
            .map_err(|_| wrong(TokenError::Damaged))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Far more than two looks of the file's watch.
    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_waits_for_the_file_and_follows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let secret = SidecarSecret::new(path.clone());
        let told = |secret: &SidecarSecret| secret.header().unwrap_err().to_string();
        assert!(told(&secret).starts_with("--sidecar-secret-file "));
        let write = |token: &Token| std::fs::write(&path, format!("{}\n", token.expose())).unwrap();
        let [one, two] = [1, 2].map(|byte| Token::from_random(TokenKind::Sidecar, &[byte; 32]));
        let looking = async {
            for wrong in ["", "culvert_sidecar_abc"] {
                std::fs::write(&path, wrong).unwrap();
                assert!(!told(&secret).contains("abc"));
            }
            write(&one);
            secret.known().await;
            let header = secret.header().unwrap();
            assert!(header == one.expose() && header.is_sensitive());

            let mut changes = secret.held.subscribe();
            write(&two);
            changes.changed().await.unwrap();
            // A file that is gone for a moment changes nothing.
            std::fs::remove_file(&path).unwrap();
            assert!(secret.header().unwrap() == two.expose());
        };
        let both = async {
            tokio::select! {
                () = looking => {}
                () = secret.follow() => {}
            }
        };
        tokio::time::timeout(SOON, both).await.unwrap();
    }
}
