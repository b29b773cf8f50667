//! The credential that goes to the API server.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use http_relay::body::error_chain;
use kube::Config as KubeConfig;
use kube::client::AuthError;
use service_kit::tasks::blocking;
use thiserror::Error;
use tower::BoxError;

use crate::kube_credential::KubeCredential;
use crate::plugin::Plugin;
use crate::rejection::{Change, Rejection};
use crate::token_file::{TokenFile, TokenFileError};

/// Gives the `Authorization` header for each request, and knows whether the API
/// server takes it.
pub(crate) struct Credential {
    source: Source,
    rejection: Rejection,
}

enum Source {
    /// Client certificate, or none: TLS says who we are.
    None,
    /// A token in a file that is replaced while we run.
    TokenFile(TokenFile),
    /// A program that is asked; may give a certificate alone.
    Plugin(Arc<Plugin>),
    /// kube-client's own: fixed tokens, passwords.
    KubeClient(KubeCredential),
}

/// There is no credential.
#[derive(Debug, Error)]
pub(crate) enum CredentialError {
    /// The token file.
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    /// Never holds what a program printed.
    #[error("cannot get the kubeconfig's credential: {0}")]
    KubeClient(String),
}

impl From<Source> for Credential {
    fn from(source: Source) -> Self {
        Self {
            source,
            rejection: Rejection::default(),
        }
    }
}

impl Credential {
    pub(crate) async fn new(config: &mut KubeConfig) -> Result<Self, kube::Error> {
        // kube-client's own reader neither trims nor can be told to read anew.
        if let Some(path) = config.auth_info.token_file.take() {
            return Ok(Source::TokenFile(TokenFile::new(Path::new(&path))).into());
        }
        let config = config.clone();
        let credential = blocking(move || KubeCredential::new(&config)).await?;
        Ok(credential.map_or(Source::None, Source::KubeClient).into())
    }

    /// What an exec plugin gives.
    pub(crate) fn of(plugin: Arc<Plugin>) -> Self {
        Source::Plugin(plugin).into()
    }

    /// No header at all.
    pub(crate) fn none() -> Self {
        Source::None.into()
    }

    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, CredentialError> {
        match &self.source {
            Source::None => Ok(None),
            Source::TokenFile(file) => Ok(Some(file.header()?)),
            Source::Plugin(plugin) => Ok(plugin.fresh().await.header.clone()),
            Source::KubeClient(kube) => {
                let header = kube.header().await;
                header
                    .map(|header| header.map(sensitive))
                    .map_err(|error| CredentialError::KubeClient(any_error(&error)))
            }
        }
    }

    /// Whether there is a credential, without running a program.
    pub(crate) fn ready(&self) -> Result<(), CredentialError> {
        if let Source::TokenFile(file) = &self.source {
            file.header()?;
        }
        Ok(())
    }

    /// Takes note of the answer to a request with this header: after a 401 the next
    /// request takes a fresh one, or one that comes soon. Waits for nothing.
    pub(crate) fn answered(&self, header: Option<&HeaderValue>, status: StatusCode) {
        if status == StatusCode::UNAUTHORIZED
            && let (Source::TokenFile(file), Some(header)) = (&self.source, header)
            && !file.rejected(header)
        {
            return;
        }
        if status == StatusCode::UNAUTHORIZED
            && let Source::Plugin(plugin) = &self.source
        {
            plugin.ask_again();
        }
        match self.rejection.answered(header, status) {
            Some(Change::Began) => tracing::warn!("{}", self.rejected()),
            Some(Change::Ended(after)) => tracing::info!(
                seconds = after.as_secs(),
                "the API server takes the credential again"
            ),
            None => {}
        }
    }

    /// What a 401 means: cause and cure.
    pub(crate) fn rejected(&self) -> String {
        match &self.source {
            Source::TokenFile(file) => format!(
                "the API server refuses the service account's token in {}: it has expired, \
                 or the account was deleted or made anew. The kubelet renews the token when \
                 four fifths of its time are over, by default within 48 minutes; delete the \
                 pod, and the one in its place has a good one at once",
                file.path().display()
            ),
            Source::Plugin(_) | Source::KubeClient(_) | Source::None => {
                "the API server refuses the kubeconfig's \
                 credential: it has expired, or was withdrawn. Log in anew, and start \
                 proxy-sidecar anew if a token or a certificate stands in the kubeconfig \
                 itself"
                    .to_owned()
            }
        }
    }
}

/// kube-client's errors hold a program's command and what it printed: the very place
/// where it prints its token.
pub(crate) fn without_secrets(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(error) => auth_error(error),
        other => error_chain(other),
    }
}

fn auth_error(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("the kubeconfig's program ended with {}", out.status)
        }
        AuthError::ReadTokenFile(cause, path) => format!("cannot read {}: {cause}", path.display()),
        _ => "kube-client cannot make one of what the kubeconfig says".to_owned(),
    }
}

fn any_error(error: &BoxError) -> String {
    error
        .downcast_ref()
        .map_or_else(|| "kube-client gave none".to_owned(), auth_error)
}

fn sensitive(mut header: HeaderValue) -> HeaderValue {
    header.set_sensitive(true);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::config::AuthProviderConfig;
    use secrecy::SecretString;

    #[tokio::test]
    async fn fixed_tokens_are_sent_and_marked() {
        let mut config = KubeConfig::new("https://127.0.0.1:1".parse().unwrap());
        config.auth_info.token = Some(SecretString::from("fixed"));
        let credential = Credential::new(&mut config).await.unwrap();
        let header = credential.header().await.unwrap().unwrap();
        assert_eq!(header, "Bearer fixed");
        assert!(header.is_sensitive());
    }

    #[tokio::test]
    async fn what_a_program_prints_is_not_repeated() {
        for (program, printed) in [("false", "the-secret"), ("echo", "the-secret")] {
            let mut config = KubeConfig::new("https://127.0.0.1:1".parse().unwrap());
            let settings = [
                ("cmd-path", program),
                ("cmd-args", printed),
                ("token-key", "{.a}"),
            ];
            config.auth_info.auth_provider = Some(AuthProviderConfig {
                name: "gcp".into(),
                config: settings
                    .map(|(key, value)| (key.into(), value.into()))
                    .into(),
                other: Default::default(),
            });
            let Err(error) = Credential::new(&mut config).await else {
                panic!("{program} gives a credential");
            };
            let message = without_secrets(&error);
            assert!(!message.contains("the-secret"), "{message}");
        }
    }
}
