//! An HTTP proxy, and its CONNECT.

use std::fmt;

use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use http_relay::body::error_chain;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use super::challenge::schemes;
use crate::tasks::Tasks;

/// Many a proxy turns away who does not say what it is.
const NAME: &str = concat!("culvert/", env!("CARGO_PKG_VERSION"));

/// Where the proxy is and what it is told. Shown without its credentials.
#[derive(Clone, Debug)]
pub struct HttpProxy {
    /// Name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// For TLS with the proxy itself: its URL's scheme is https.
    pub tls_name: Option<ServerName<'static>>,
    /// Marked sensitive.
    pub credentials: Option<HeaderValue>,
}

/// Why a proxy leads nowhere.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// 407, and there were none to send.
    #[error(
        "it asks for a user and a password ({0}): put them into the URL that names the proxy, percent-encoded"
    )]
    AsksForCredentials(u16),
    /// 407 or 401 to those that were sent.
    #[error("it does not take the user and password that its URL holds ({0})")]
    WrongCredentials(u16),
    /// 407, for a way to authenticate that is none of ours.
    #[error(
        "it asks for {} (407), and only Basic is supported: name a proxy that does that for us, \
         as cntlm and px do on the own network, or have this host excepted from authentication",
        .0.join(" or ")
    )]
    UnsupportedAuthentication(Vec<String>),
    /// 403, when asked for this target.
    #[error("it does not allow connections to {0} (403)")]
    Forbidden(String),
    /// Any other status.
    #[error("it answered {status} when asked for {target}")]
    Refused {
        /// Which one.
        status: StatusCode,
        /// What it was asked for.
        target: String,
    },
    /// No answer that can be read.
    #[error("it gave no answer in HTTP: {0}")]
    Broken(String),
}

impl fmt::Display for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls_name.is_some() {
            "https"
        } else {
            "http"
        };
        super::show(f, scheme, &self.host, self.port)
    }
}

impl HttpProxy {
    /// Asks for a connection to `target`, `host:port`. What follows the answer's
    /// head stays with the connection. The caller sets the deadline.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        target: &str,
    ) -> Result<Upgraded, ConnectError> {
        let broken = |error: hyper::Error| ConnectError::Broken(error_chain(&error));
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let tasks = Tasks::new();
        tasks.spawner().spawn(async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(error = error_chain(&error), "the proxy's connection ended");
            }
        });
        let request = self.request(target)?;
        let mut response = sender.send_request(request).await.map_err(broken)?;
        match response.status() {
            status if status.is_success() => {
                hyper::upgrade::on(&mut response).await.map_err(broken)
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED if !offers_basic(response.headers()) => Err(
                ConnectError::UnsupportedAuthentication(schemes(response.headers())),
            ),
            // tinyproxy says 401 to a wrong password.
            status @ (StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED) => {
                Err(if self.credentials.is_none() {
                    ConnectError::AsksForCredentials(status.as_u16())
                } else {
                    ConnectError::WrongCredentials(status.as_u16())
                })
            }
            StatusCode::FORBIDDEN => Err(ConnectError::Forbidden(target.to_owned())),
            status => Err(ConnectError::Refused {
                status,
                target: target.to_owned(),
            }),
        }
    }

    fn request(&self, target: &str) -> Result<Request<Empty<Bytes>>, ConnectError> {
        let unusable = |error: http::Error| ConnectError::Broken(error.to_string());
        let uri = Uri::builder().authority(target).build().map_err(unusable)?;
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .header(HOST, target)
            .header(USER_AGENT, NAME);
        if let Some(credentials) = &self.credentials {
            request = request.header(PROXY_AUTHORIZATION, credentials);
        }
        request.body(Empty::new()).map_err(unusable)
    }
}

/// Basic is asked for, or nothing that is known.
fn offers_basic(headers: &HeaderMap) -> bool {
    let schemes = schemes(headers);
    let is_basic = |scheme: &String| scheme.eq_ignore_ascii_case("basic");
    schemes.is_empty() || schemes.iter().any(is_basic)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const TARGET: &str = "clusters.example.com:443";

    fn proxy(credentials: Option<&'static str>) -> HttpProxy {
        HttpProxy {
            host: "proxy.example".to_owned(),
            port: 3128,
            tls_name: None,
            credentials: credentials.map(HeaderValue::from_static),
        }
    }

    /// What comes of an answer, and the request as the proxy saw it.
    async fn ask(
        proxy: &HttpProxy,
        answer: &'static [u8],
    ) -> (Result<Upgraded, ConnectError>, String) {
        let (mut peer, io) = duplex(4096);
        let answering = async {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(peer.read_u8().await.unwrap());
            }
            peer.write_all(answer).await.unwrap();
            drop(peer);
            String::from_utf8(seen).unwrap()
        };
        tokio::join!(proxy.connect(io, TARGET), answering)
    }

    #[tokio::test]
    async fn what_follows_the_head_is_not_lost() {
        for answer in [
            b"HTTP/1.1 200 Connection established\r\n\r\nfirst bytes".as_slice(),
            b"HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\nfirst bytes",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nfirst bytes",
        ] {
            let (connected, seen) = ask(&proxy(Some("Basic dTpw")), answer).await;
            assert!(
                seen.starts_with("CONNECT clusters.example.com:443 HTTP/1.1\r\n"),
                "{seen}"
            );
            assert!(
                seen.contains("host: clusters.example.com:443\r\n"),
                "{seen}"
            );
            assert!(
                seen.contains("proxy-authorization: Basic dTpw\r\n"),
                "{seen}"
            );
            let mut bytes = Vec::new();
            let mut connection = TokioIo::new(connected.unwrap());
            connection.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes, b"first bytes");
        }
    }

    #[tokio::test]
    async fn refusals_say_what_to_do() {
        for (credentials, answer, expected) in [
            (None, "HTTP/1.1 407 Who\r\n\r\n", "asks for a user"),
            (Some("Basic x"), "HTTP/1.1 407 Who\r\n\r\n", "does not take"),
            (
                None,
                "HTTP/1.1 403 No\r\n\r\n",
                "to clusters.example.com:443 (403)",
            ),
            (
                None,
                "HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
                "asks for Negotiate or NTLM (407), and only Basic",
            ),
            (
                Some("Basic x"),
                "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"a, b\", nonce=\"c\"\r\n\r\n",
                "asks for Digest (407)",
            ),
            (
                None,
                "HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM, basic realm=\"a\"\r\n\r\n",
                "asks for a user",
            ),
            (None, "HTTP/1.1 502 Bad\r\n\r\n", "answered 502 Bad Gateway"),
            (None, "SSH-2.0-OpenSSH_9.2\r\n", "no answer in HTTP"),
            (None, "HTTP/1.1 20", "no answer in HTTP"),
            (None, "", "no answer in HTTP"),
        ] {
            let (refused, _) = ask(&proxy(credentials), answer.as_bytes()).await;
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(expected), "{answer:?}: {error}");
        }
    }
}
