//! The server's address as the user gives it.

use std::fmt;

use rustls_pki_types::ServerName;
use thiserror::Error;
use url::Url;

/// Where to dial and which name the certificate must hold.
#[derive(Clone, Debug)]
pub(crate) struct ServerUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls_name: ServerName<'static>,
}

/// Why a text is no server's address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ServerUrlError {
    /// Not a URL at all.
    #[error("not a URL; give one like https://clusters.example.com")]
    NotAUrl,
    /// A token would cross the network in clear.
    #[error("only https is dialled, as the token must not cross the network in clear")]
    NotHttps,
    /// Something that would be ignored.
    #[error("give scheme, host and port only, without user, path, query or fragment")]
    TooMuch,
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
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(ServerUrlError::TooMuch);
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
        write!(f, "https://{}", self.authority())
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
            ("https://a.example/x", ServerUrlError::TooMuch),
            ("https://u:p@a.example", ServerUrlError::TooMuch),
            ("https://", ServerUrlError::NotAUrl),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap_err(), error, "{text}");
        }
    }
}
