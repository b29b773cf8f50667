//! Where the connector token comes from. Read anew before each attempt, so that
//! a rotated secret is used at the next one.

use std::path::PathBuf;

use service_kit::file_watch::{self, FileFault};
use service_kit::secret_file;
use thiserror::Error;
use tunnel_protocol::token::{Token, TokenError, TokenKind};

/// The environment variable for those who cannot mount a file.
pub(crate) const TOKEN_VARIABLE: &str = "CULVERT_CONNECTOR_TOKEN";

/// A file, or the environment. Never a flag's value: `ps` would show it.
#[derive(Clone, Debug)]
pub(crate) enum TokenSource {
    /// Holds the token; white space around it is ignored.
    File(PathBuf),
    /// [`TOKEN_VARIABLE`].
    Environment,
}

/// There is no usable token. Never holds the token.
#[derive(Debug, Error)]
pub enum TokenSourceError {
    /// The file cannot be read.
    #[error("--token-file {0}")]
    File(#[from] FileFault),
    /// Neither is given.
    #[error("no connector token: name a file with --token-file, or set {TOKEN_VARIABLE}")]
    Missing,
    /// The text is no token.
    #[error("the connector token cannot be used: {0}")]
    Token(#[from] TokenError),
}

impl TokenSource {
    pub(crate) fn read(&self) -> Result<Token, TokenSourceError> {
        let text = match self {
            // A hundred bytes, once an attempt: not worth a thread.
            Self::File(path) => {
                secret_file::warn_if_open(path);
                file_watch::read(path)?
            }
            Self::Environment => {
                let text = std::env::var(TOKEN_VARIABLE).map_err(|_| TokenSourceError::Missing)?;
                text.into_bytes().into()
            }
        };
        let text = String::from_utf8_lossy(&text);
        Ok(Token::parse(TokenKind::Connector, &text)?)
    }
}
