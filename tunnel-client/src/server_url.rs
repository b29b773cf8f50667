//! The server's address as the user gives it.

use std::fmt;

use rustls_pki_types::ServerName;
use thiserror::Error;
use tunnel_protocol::limits::HANDSHAKE_PATH;
use url::Url;

/// Where to dial and which name the certificate must hold.
#[derive(Clone, Debug)]
pub(crate) struct ServerUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the server's paths are below: empty, or like `/culvert`.
    prefix: String,
    pub(crate) tls_name: ServerName<'static>,
}

/// Why a text is no server's address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ServerUrlError {
    /// Not a URL at all.
    #[error("not a URL; give one like https://clusters.example.com")]
    NotAUrl,
    /// A token would cross the network in clear.
    #[error(
        "only https is dialled, as the token must not cross the network in clear; give one like \
         https://clusters.example.com"
    )]
    NotHttps,
    /// Something that would be ignored.
    #[error("give scheme, host, port and path only, without user, query or fragment")]
    TooMuch,
    /// What callers use.
    #[error(
        "this is where a cluster is called; give where tunnel-server is, without /clusters/ and \
         what follows"
    )]
    Cluster,
}

impl std::str::FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&with_scheme).map_err(|_| ServerUrlError::NotAUrl)?;
        if url.scheme() != "https" {
            return Err(ServerUrlError::NotHttps);
        }
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(ServerUrlError::TooMuch);
        }
        let prefix = url.path().trim_end_matches('/').to_owned();
        if format!("{prefix}/").starts_with("/clusters/") {
            return Err(ServerUrlError::Cluster);
        }
        let host = url.host_str().ok_or(ServerUrlError::NotAUrl)?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let tls_name = ServerName::try_from(host.clone()).map_err(|_| ServerUrlError::NotAUrl)?;
        Ok(Self {
            host,
            port: url.port().unwrap_or(443),
            prefix,
            tls_name,
        })
    }
}

impl ServerUrl {
    /// The `Host` header of the handshake.
    pub(crate) fn authority(&self) -> String {
        let whole = self.host_and_port();
        match whole.strip_suffix(":443") {
            Some(host) => host.to_owned(),
            None => whole,
        }
    }

    /// The path of the handshake.
    pub(crate) fn handshake_path(&self) -> String {
        format!("{}{HANDSHAKE_PATH}", self.prefix)
    }

    /// What a proxy is asked for.
    pub(crate) fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_users_type() {
        for (text, authority) in [
            ("https://a.example", "a.example"),
            ("https://a.example/", "a.example"),
            ("a.example:8443", "a.example:8443"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("https://127.0.0.1:443", "127.0.0.1"),
        ] {
            assert_eq!(
                text.parse::<ServerUrl>().unwrap().authority(),
                authority,
                "{text}"
            );
        }
        for (text, error) in [
            ("http://a.example", ServerUrlError::NotHttps),
            ("https://a.example/x?y", ServerUrlError::TooMuch),
            ("https://a.example/#y", ServerUrlError::TooMuch),
            ("https://a.example/clusters/prod", ServerUrlError::Cluster),
            ("a.example/clusters/", ServerUrlError::Cluster),
            ("https://u:p@a.example", ServerUrlError::TooMuch),
            ("https://", ServerUrlError::NotAUrl),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn the_handshake_is_below_the_path() {
        for (text, shown, path) in [
            ("a.example", "https://a.example", "/tunnel/v1"),
            ("https://a.example/", "https://a.example", "/tunnel/v1"),
            (
                "https://a.example:8443/culvert",
                "https://a.example:8443/culvert",
                "/culvert/tunnel/v1",
            ),
            (
                "https://a.example/a/b//",
                "https://a.example/a/b",
                "/a/b/tunnel/v1",
            ),
            (
                "https://a.example/a/../b c",
                "https://a.example/b%20c",
                "/b%20c/tunnel/v1",
            ),
        ] {
            let server: ServerUrl = text.parse().unwrap();
            assert_eq!(server.to_string(), shown, "{text}");
            assert_eq!(server.handshake_path(), path, "{text}");
        }
    }
}
