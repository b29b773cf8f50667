//! Requests to the sidecar's port.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_relay::body::error_chain;
use http_relay::{RelayBody, framing};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tunnel_protocol::Failure;
use tunnel_protocol::header::{ERROR, SIDECAR_SECRET};

use crate::addresses::first_of;
use crate::sidecar_connections::{Answer, Connections, SendFault};
use crate::sidecar_secret::{SidecarSecret, SidecarSecretError};

/// The port is in our own pod.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// proxy-sidecar, or kubectl proxy in its place.
pub(crate) struct Upstream {
    connections: Connections,
    authority: Authority,
    secret: Option<Arc<SidecarSecret>>,
}

/// Why the sidecar gave no answer.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    NoSecret(#[from] SidecarSecretError),
    #[error(
        "{0} refuses the request for want of its secret: --sidecar-secret-file has to name what \
         proxy-sidecar's --secret-file does"
    )]
    SecretRefused(Authority),
    #[error("cannot reach {upstream}: {cause}")]
    Unreachable { upstream: Authority, cause: String },
    #[error("the connection ended before an answer came: {0}")]
    Broken(String),
}

impl Upstream {
    pub(crate) fn new(authority: Authority, secret: Option<Arc<SidecarSecret>>) -> Self {
        let to = authority.clone();
        Self::over(move || dial(to.clone()), authority, secret)
    }

    /// Over the connections that `dial` makes.
    pub(crate) fn over<D, F, T>(
        dial: D,
        authority: Authority,
        secret: Option<Arc<SidecarSecret>>,
    ) -> Self
    where
        D: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self {
            connections: Connections::new(dial),
            authority,
            secret,
        }
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) async fn send(
        &self,
        mut request: Request<RelayBody>,
    ) -> Result<Response<Answer>, SendError> {
        *request.uri_mut() = target(request.uri());
        // The only host that the sidecar's filter accepts: the caller's own would
        // be refused, and must not choose anything here.
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        if let Some(secret) = &self.secret {
            headers.insert(SIDECAR_SECRET, secret.header()?);
        }
        framing::announce(&mut request);
        let sent = self.connections.send(request).await;
        let response = sent.map_err(|fault| match fault {
            SendFault::Open(error) => SendError::Unreachable {
                upstream: self.authority.clone(),
                cause: error_chain(&error),
            },
            SendFault::Broken(error) => SendError::Broken(error_chain(&error)),
        })?;
        // Passed on it would look as if the caller's own credential were wrong.
        if wants_the_secret(&response) {
            return Err(SendError::SecretRefused(self.authority.clone()));
        }
        Ok(response)
    }
}

/// What an origin server is asked for.
fn target(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(path) if path != "/" => path.clone().into(),
        // Also where it is empty: alone it would be written so.
        _ => Uri::from_static("/"),
    }
}

async fn dial(to: Authority) -> io::Result<TcpStream> {
    let host = to.host().trim_start_matches('[').trim_end_matches(']');
    let addresses = lookup_host((host, to.port_u16().unwrap_or(80))).await?;
    let silent = |address| {
        let error = format!("{address} did not answer within {CONNECT_TIMEOUT:?}");
        io::Error::new(io::ErrorKind::TimedOut, error)
    };
    let stream = first_of(addresses, CONNECT_TIMEOUT, TcpStream::connect, silent).await;
    let stream = stream.map_err(|errors| {
        let last = errors.into_iter().next_back();
        last.unwrap_or_else(|| io::Error::other(format!("{host} has no address")))
    })?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn wants_the_secret(response: &Response<Answer>) -> bool {
    let code = response.headers().get(ERROR);
    response.status() == StatusCode::UNAUTHORIZED
        && code.is_some_and(|code| code == Failure::SidecarSecret.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_never_empty() {
        for (uri, expected) in [
            ("http://localhost", "/"),
            ("http://localhost/", "/"),
            ("http://localhost?x", "/?x"),
            ("http://localhost/a?b", "/a?b"),
            ("*", "*"),
        ] {
            let uri = Uri::from_static(uri);
            assert_eq!(target(&uri).to_string(), expected, "{uri}");
        }
    }
}
