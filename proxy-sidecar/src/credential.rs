//! The credential that goes to the API server.

use std::future::ready;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use http_relay::body::error_chain;
use hyper::body::Bytes;
use kube::Config as KubeConfig;
use kube::client::{AuthError, ConfigExt};
use thiserror::Error;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::token_file::{TokenFile, TokenFileError};

/// Gives the `Authorization` header for each request.
pub(crate) enum Credential {
    /// Client certificate, or none: TLS says who we are.
    None,
    /// A token in a file that is replaced while we run.
    TokenFile(TokenFile),
    /// kube-client's own: fixed tokens, passwords, exec plugins.
    KubeClient(KubeClient),
}

/// kube-client's ways, which can be asked for another credential by making them anew.
pub(crate) struct KubeClient {
    config: Box<KubeConfig>,
    service: Mutex<AuthService>,
    asked: Mutex<Instant>,
}

/// Many callers may be refused at once, and a plugin may ask a person.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(10);

/// kube-client's authentication layer around a service that hands back the
/// header it was given: its header types are not public.
type AuthService =
    BoxCloneSyncService<Request<Empty<Bytes>>, Response<Option<HeaderValue>>, BoxError>;

/// There is no credential.
#[derive(Debug, Error)]
pub(crate) enum CredentialError {
    /// The token file.
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    /// An exec plugin or the like; never holds what it printed.
    #[error("cannot get the kubeconfig's credential: {0}")]
    KubeClient(String),
}

impl Credential {
    pub(crate) fn new(config: &mut KubeConfig) -> Result<Self, kube::Error> {
        // kube-client's own reader neither trims nor can be told to read anew.
        if let Some(path) = config.auth_info.token_file.take() {
            return Ok(Self::TokenFile(TokenFile::new(Path::new(&path))));
        }
        Ok(auth_service(config)?.map_or(Self::None, |service| {
            Self::KubeClient(KubeClient {
                config: Box::new(config.clone()),
                service: Mutex::new(service),
                asked: Mutex::new(Instant::now()),
            })
        }))
    }

    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, CredentialError> {
        match self {
            Self::None => Ok(None),
            Self::TokenFile(file) => Ok(Some(file.header()?)),
            Self::KubeClient(client) => {
                let answer = client.service().oneshot(Request::default()).await;
                answer
                    .map(|answer| answer.into_body().map(sensitive))
                    .map_err(|error| CredentialError::KubeClient(any_error(&error)))
            }
        }
    }

    /// Whether there is a credential, without running an exec plugin.
    pub(crate) fn ready(&self) -> Result<(), CredentialError> {
        if let Self::TokenFile(file) = self {
            file.header()?;
        }
        Ok(())
    }

    /// After a 401: the next request takes a fresh one. Waits for an exec plugin, so
    /// that this is to be called where that holds up nobody.
    pub(crate) fn refresh(&self) {
        match self {
            Self::TokenFile(file) => file.refresh(),
            Self::KubeClient(client) => client.refresh(),
            Self::None => {}
        }
    }

    /// Whether [`Self::refresh`] waits for anybody.
    pub(crate) fn asks_a_plugin(&self) -> bool {
        match self {
            Self::KubeClient(client) => client.config.auth_info.exec.is_some(),
            Self::TokenFile(_) | Self::None => false,
        }
    }
}

impl KubeClient {
    fn service(&self) -> AuthService {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        service.clone()
    }

    /// kube-client asks a plugin again when its credential is due to expire, not when
    /// it is refused.
    fn refresh(&self) {
        if self.config.auth_info.exec.is_none() {
            return;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.elapsed() < BETWEEN_QUESTIONS {
            return;
        }
        *asked = Instant::now();
        drop(asked);
        match auth_service(&self.config) {
            Ok(Some(service)) => {
                *self.service.lock().unwrap_or_else(PoisonError::into_inner) = service;
                tracing::info!(
                    "the API server refused the exec plugin's credential: it was asked for another"
                );
            }
            Ok(None) => {}
            Err(error) => {
                let error = without_secrets(&error);
                tracing::warn!(error, "the exec plugin gives no other credential");
            }
        }
    }
}

fn auth_service(config: &KubeConfig) -> Result<Option<AuthService>, kube::Error> {
    Ok(config.auth_layer()?.map(|layer| {
        let header = service_fn(|request: Request<Empty<Bytes>>| {
            let header = request.headers().get(AUTHORIZATION).cloned();
            ready(Ok::<_, BoxError>(Response::new(header)))
        });
        BoxCloneSyncService::new(layer.layer(header))
    }))
}

/// kube-client's errors hold an exec plugin's command with its environment, and
/// what it printed: the very place where it prints its token.
pub(crate) fn without_secrets(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(error) => auth_error(error),
        other => error_chain(other),
    }
}

fn auth_error(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => format!("the exec plugin ended with {}", out.status),
        AuthError::AuthExecStart(cause) => format!("the exec plugin cannot be started: {cause}"),
        AuthError::AuthExecParse(_) => "the exec plugin printed no ExecCredential".to_owned(),
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
    use kube::config::{ExecConfig, ExecInteractiveMode};
    use secrecy::SecretString;

    #[tokio::test]
    async fn fixed_tokens_are_sent_and_marked() {
        let mut config = KubeConfig::new("https://127.0.0.1:1".parse().unwrap());
        config.auth_info.token = Some(SecretString::from("fixed"));
        let header = Credential::new(&mut config)
            .unwrap()
            .header()
            .await
            .unwrap()
            .unwrap();
        assert_eq!(header, "Bearer fixed");
        assert!(header.is_sensitive());
    }

    #[tokio::test]
    async fn what_an_exec_plugin_prints_is_not_repeated() {
        for script in [
            "echo the-secret; echo the-secret >&2; exit 3",
            "echo the-secret",
        ] {
            let mut config = KubeConfig::new("https://127.0.0.1:1".parse().unwrap());
            config.auth_info.exec = Some(ExecConfig {
                api_version: Some("client.authentication.k8s.io/v1".into()),
                command: Some("sh".into()),
                args: Some(vec!["-c".into(), script.into()]),
                env: None,
                drop_env: None,
                interactive_mode: Some(ExecInteractiveMode::Never),
                install_hint: None,
                provide_cluster_info: false,
                cluster: None,
                other: Default::default(),
            });
            let message = match Credential::new(&mut config) {
                Ok(credential) => credential.header().await.unwrap_err().to_string(),
                Err(error) => without_secrets(&error),
            };
            assert!(!message.contains("the-secret"), "{message}");
        }
    }
}
