//! Proxies on the way out: which one a URL or the environment names, and what it is
//! asked.

mod challenge;
mod connect;
mod environment;
mod no_proxy;

use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use rustls_pki_types::ServerName;
use secrecy::SecretString;
use thiserror::Error;
use url::Url;

pub use connect::{ConnectError, HttpProxy};
pub use environment::{ProxyVariableError, proxy_for};

/// A proxy. Shown without its credentials.
#[derive(Clone, Debug)]
pub enum Proxy {
    /// Is asked by CONNECT.
    Http(HttpProxy),
    /// Is asked by RFC 1928.
    Socks5(Socks5Proxy),
}

/// A SOCKS5 proxy, which resolves names itself.
#[derive(Clone, Debug)]
pub struct Socks5Proxy {
    /// Name or address, without brackets.
    pub host: String,
    /// 1080 where the URL has none.
    pub port: u16,
    /// User and password.
    pub credentials: Option<(String, SecretString)>,
}

/// A text that names no proxy. Never shows it, as it may hold a password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProxyUrlError {
    /// No URL with a host.
    #[error(
        "not a proxy's URL; give one like http://proxy.example.com:3128, with user and password \
         percent-encoded"
    )]
    NotAUrl,
    /// SOCKS4 and the like.
    #[error("not a kind of proxy that is known: give an http, https or socks5 URL")]
    Scheme,
}

impl Proxy {
    /// Reads a proxy's URL as curl and Go do: without a scheme it is an HTTP proxy,
    /// and what people leave as it is in a password is encoded.
    ///
    /// # Errors
    /// [`ProxyUrlError`].
    pub fn from_url(text: &str) -> Result<Self, ProxyUrlError> {
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url = Url::parse(&with_scheme).map_err(|_| ProxyUrlError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
            return Err(ProxyUrlError::Scheme);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(ProxyUrlError::NotAUrl);
        }
        // Which reads the credentials, too.
        let matcher = Matcher::builder().https(url.as_str()).build();
        let any = http::Uri::from_static("https://any.invalid");
        let read = matcher.intercept(&any).ok_or(ProxyUrlError::NotAUrl)?;
        let (host, port) = (host.to_owned(), url.port_or_known_default());
        if url.scheme().starts_with("socks5") {
            let credentials = read.raw_auth();
            return Ok(Self::Socks5(Socks5Proxy {
                host,
                port: port.unwrap_or(1080),
                credentials: credentials.map(|(user, password)| (user.to_owned(), password.into())),
            }));
        }
        let tls_name = match url.scheme() {
            "https" => {
                let name = ServerName::try_from(host.clone());
                Some(name.map_err(|_| ProxyUrlError::NotAUrl)?)
            }
            _ => None,
        };
        Ok(Self::Http(HttpProxy {
            host,
            port: port.ok_or(ProxyUrlError::NotAUrl)?,
            tls_name,
            credentials: read.basic_auth().cloned(),
        }))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(proxy) => proxy.fmt(f),
            Self::Socks5(proxy) => show(f, "socks5", &proxy.host, proxy.port),
        }
    }
}

fn show(f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        write!(f, "{scheme}://[{host}]:{port}")
    } else {
        write!(f, "{scheme}://{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn http_proxies_with_credentials() {
        for (url, expected) in [
            // user:p@ss word, u:, user:a%b
            (
                "http://user:p%40ss%20word@a:1",
                "Basic dXNlcjpwQHNzIHdvcmQ=",
            ),
            ("http://user:p@ss word@a:1", "Basic dXNlcjpwQHNzIHdvcmQ="),
            ("u@a:1", "Basic dTo="),
            ("http://user:a%25b@a:1", "Basic dXNlcjphJWI="),
        ] {
            let proxy = Proxy::from_url(url).unwrap();
            assert_eq!(proxy.to_string(), "http://a:1");
            assert!(!format!("{proxy:?}").contains("Basic"));
            let Proxy::Http(proxy) = proxy else {
                panic!("{proxy:?}");
            };
            let credentials = proxy.credentials.unwrap();
            assert_eq!(credentials, expected, "{url}");
            assert!(credentials.is_sensitive());
        }
    }

    #[test]
    fn socks_proxies_with_credentials() {
        let proxy = Proxy::from_url("socks5://user:p%40ss@[::1]").unwrap();
        assert_eq!(proxy.to_string(), "socks5://[::1]:1080");
        assert!(!format!("{proxy:?}").contains("p@ss"));
        let Proxy::Socks5(proxy) = proxy else {
            panic!("{proxy:?}");
        };
        let (user, password) = proxy.credentials.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("user", "p@ss"));
    }

    #[test]
    fn what_names_no_proxy() {
        for (url, fault) in [
            ("socks4://user:secret@a:1080", ProxyUrlError::Scheme),
            ("user:secret://", ProxyUrlError::Scheme),
            ("http://user:secret@", ProxyUrlError::NotAUrl),
            ("http://user:secret@a:port", ProxyUrlError::NotAUrl),
            ("socks5://", ProxyUrlError::NotAUrl),
        ] {
            assert_eq!(Proxy::from_url(url).unwrap_err(), fault, "{url}");
        }
    }
}
