//! The secret that requests need, if `--secret-file` is given: without it whoever
//! reaches the port, by `port-forward` or from a debug container, would be served
//! as the pod's service account.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use service_kit::secret_file;
use thiserror::Error;
use tunnel_protocol::header::SIDECAR_SECRET;
use tunnel_protocol::token::{Token, TokenHash, TokenKind};
use zeroize::Zeroizing;

/// Readable for the pod's group, in which tunnel-client is, too.
const MODE: u32 = 0o440;

/// What requests are compared with.
#[derive(Clone, Debug)]
pub(crate) struct Secret(TokenHash);

/// There is no file with a secret, and none can be made.
#[derive(Debug, Error)]
#[error(
    "--secret-file {path}: {cause}; it has to be in a folder that is there and that this process \
     may write to, like a memory volume that only tunnel-client mounts too",
    path = .path.display()
)]
pub struct SecretError {
    path: PathBuf,
    cause: io::Error,
}

/// The request does not have the secret.
#[derive(Debug, Error)]
#[error(
    "proxy-sidecar runs with --secret-file: requests need the secret from that file in the header \
     {SIDECAR_SECRET}, as tunnel-client's --sidecar-secret-file sends it"
)]
pub(crate) struct NoSecret;

impl Secret {
    /// Takes the secret that is there, so that a restarted container goes on with
    /// its tunnel-client; else makes one.
    pub(crate) fn take_or_make(path: &Path) -> Result<Self, SecretError> {
        let failed = |cause| SecretError {
            path: path.to_owned(),
            cause,
        };
        if let Some(secret) = read(path).map_err(failed)? {
            tracing::info!(file = %path.display(), "the secret that is there is used");
            return Ok(Self(secret.hash()));
        }
        let secret = make(path).map_err(failed)?;
        tracing::info!(file = %path.display(), "a secret was made");
        Ok(Self(secret.hash()))
    }

    /// Checks a request. Compares in constant time, as all tokens are.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), NoSecret> {
        let mut given = headers.get_all(SIDECAR_SECRET).iter();
        let (Some(text), None) = (given.next(), given.next()) else {
            return Err(NoSecret);
        };
        let token = text
            .to_str()
            .ok()
            .and_then(|text| Token::parse(TokenKind::Sidecar, text).ok());
        match token {
            Some(token) if token.hash() == self.0 => Ok(()),
            _ => Err(NoSecret),
        }
    }
}

/// Nothing if there is no file, or no secret in it.
fn read(path: &Path) -> io::Result<Option<Token>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    secret_file::warn_if_open(path);
    let token = Token::parse(TokenKind::Sidecar, &String::from_utf8_lossy(&bytes));
    if let Err(error) = &token {
        tracing::warn!(file = %path.display(), %error, "the secret that is there is replaced");
    }
    Ok(token.ok())
}

/// Whole under its name at once: tunnel-client may be looking for it.
fn make(path: &Path) -> io::Result<Token> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let secret = Token::from_random(TokenKind::Sidecar, &random);
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".secret-")
        .tempfile_in(folder)?;
    writeln!(file, "{}", secret.expose())?;
    file.as_file()
        .set_permissions(PermissionsExt::from_mode(MODE))?;
    file.persist(path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (SIDECAR_SECRET, HeaderValue::from_str(text).unwrap());
        values.iter().map(value).collect()
    }

    #[test]
    fn it_is_made_once_for_the_group_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let secret = Secret::take_or_make(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(secret.check(&headers(&[text.trim()])).is_ok());
        let again = Secret::take_or_make(&path).unwrap();
        assert!(again.check(&headers(&[text.trim()])).is_ok());
        // Nothing half-made is left beside it.
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_secret_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for wrong in ["", "culvert_sidecar_abc", "\u{0}"] {
            drop(std::fs::remove_file(&path));
            std::fs::write(&path, wrong).unwrap();
            Secret::take_or_make(&path).unwrap();
            assert!(std::fs::read_to_string(&path).unwrap().len() > 70);
        }
    }

    #[test]
    fn only_the_one_secret_opens() {
        let secret = Token::from_random(TokenKind::Sidecar, &[1; 32]);
        let (own, secret) = (secret.expose(), Secret(secret.hash()));
        let other = Token::from_random(TokenKind::Sidecar, &[2; 32]);
        let connector = Token::from_random(TokenKind::Connector, &[1; 32]);
        assert!(secret.check(&headers(&[own])).is_ok());
        for wrong in [
            &[][..],
            &[""],
            &[other.expose()],
            &[connector.expose()],
            &[&own[1..]],
            &[own, own],
            &[other.expose(), own],
        ] {
            assert!(secret.check(&headers(wrong)).is_err(), "{}", wrong.len());
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = Secret::take_or_make(&folder.path().join("no/secret")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("--secret-file ") && text.contains("folder"),
            "{text}"
        );
    }
}
