//! Which proxy the environment names, in the variables that curl and Go
//! programs read.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rustls_pki_types::ServerName;
use thiserror::Error;
use url::Url;

use crate::proxy::Proxy;
use crate::server_url::ServerUrl;

/// The first that is set and not empty counts.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A variable that names no proxy that can be used. Never shows its value, which
/// may hold a password.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{variable}: {fault}")]
pub struct ProxyVariableError {
    variable: &'static str,
    fault: &'static str,
}

const NOT_A_URL: &str = "not a proxy's URL; give one like http://proxy.example.com:3128, \
                         with user and password percent-encoded";
const SCHEME: &str = "not a kind of proxy that tunnel-client knows: give an http or https URL";

/// The proxy on the way to `server`, if there is one.
pub(crate) fn proxy_for(
    server: &ServerUrl,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ProxyVariableError> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            let value = variable(name)?.trim().to_owned();
            (!value.is_empty()).then_some((*name, value))
        })
    };
    let Some((variable, text)) = first(&PROXY) else {
        return Ok(None);
    };
    // First: a proxy that is not used need not be one that could be, like SOCKS.
    let exceptions = first(&NO_PROXY).map_or(String::new(), |(_, list)| list);
    if excepted(server, &exceptions) {
        return Ok(None);
    }
    read(server, &text)
        .map(Some)
        .map_err(|fault| ProxyVariableError { variable, fault })
}

fn read(server: &ServerUrl, text: &str) -> Result<Proxy, &'static str> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    // Encodes what people leave as it is in a password, like curl and Go.
    let url = Url::parse(&with_scheme).map_err(|_| NOT_A_URL)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SCHEME);
    }
    let proxy = Matcher::builder()
        .https(url.as_str())
        .build()
        .intercept(&uri(server).ok_or(NOT_A_URL)?)
        .ok_or(NOT_A_URL)?;
    let host = url.host_str().ok_or(NOT_A_URL)?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let tls_name = match url.scheme() {
        "https" => Some(ServerName::try_from(host.clone()).map_err(|_| NOT_A_URL)?),
        _ => None,
    };
    Ok(Proxy {
        host,
        port: url.port_or_known_default().ok_or(NOT_A_URL)?,
        tls_name,
        credentials: proxy.basic_auth().cloned(),
    })
}

/// Whether `NO_PROXY` names the server.
fn excepted(server: &ServerUrl, list: &str) -> bool {
    let exceptions: Vec<_> = list
        .split([',', ' ', '\t', '\n'])
        .filter_map(|entry| exception(entry, server.port))
        .collect();
    let matcher = Matcher::builder()
        .https("http://proxy.invalid")
        .no(exceptions.join(","))
        .build();
    uri(server).is_some_and(|uri| matcher.intercept(&uri).is_none())
}

/// An entry in the form that the matcher knows, which has neither ports nor
/// `*.`; nothing where it is about another port.
fn exception(entry: &str, port: u16) -> Option<String> {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let entry = match entry.rsplit_once(':') {
        Some((host, its_port)) if !is_address(entry) && !entry.contains('/') => {
            match its_port.parse::<u16>() {
                Ok(its_port) if its_port != port => return None,
                Ok(_) => host,
                Err(_) => entry,
            }
        }
        _ => entry,
    };
    let entry = entry.trim_matches(['[', ']']);
    Some(
        entry
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(entry)
            .to_owned(),
    )
}

fn uri(server: &ServerUrl) -> Option<Uri> {
    server.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(server: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, String> {
        let server = server.parse().unwrap();
        proxy_for(&server, |name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
        .map_err(|error| error.to_string())
    }

    fn proxy(variables: &[(&str, &str)]) -> Option<Proxy> {
        asked("https://clusters.example.com", variables).unwrap()
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        for (variables, expected) in [
            (vec![], None),
            (vec![("HTTP_PROXY", "http://other")], None),
            (
                vec![("HTTPS_PROXY", "http://a:3128")],
                Some("http://a:3128"),
            ),
            (
                vec![
                    ("HTTPS_PROXY", ""),
                    ("https_proxy", "b:1"),
                    ("ALL_PROXY", "c"),
                ],
                Some("http://b:1"),
            ),
            (vec![("all_proxy", "https://c")], Some("https://c:443")),
            (vec![("HTTPS_PROXY", "d")], Some("http://d:80")),
            (
                vec![("HTTPS_PROXY", "http://[::1]:8080/x")],
                Some("http://[::1]:8080"),
            ),
        ] {
            let shown = proxy(&variables).map(|proxy| proxy.to_string());
            assert_eq!(shown.as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
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
            let proxy = proxy(&[("HTTPS_PROXY", url)]).unwrap();
            let credentials = proxy.credentials.clone().unwrap();
            assert_eq!(credentials, expected, "{url}");
            assert!(credentials.is_sensitive());
            assert_eq!(proxy.to_string(), "http://a:1");
            assert!(!format!("{proxy:?}").contains("Basic"));
        }
    }

    #[test]
    fn what_names_no_proxy_is_told_without_its_value() {
        for (value, fault) in [
            ("socks5://user:secret@a:1080", SCHEME),
            ("user:secret://", SCHEME),
            ("http://user:secret@", NOT_A_URL),
            ("http://user:secret@a:port", NOT_A_URL),
        ] {
            let error = asked("https://a.example", &[("https_proxy", value)]).unwrap_err();
            assert_eq!(error, format!("https_proxy: {fault}"), "{value}");
            let unused = [("https_proxy", value), ("no_proxy", "a.example")];
            assert!(asked("https://a.example", &unused).unwrap().is_none());
        }
    }

    #[test]
    fn no_proxy_excepts() {
        for (server, list, excepted) in [
            ("https://clusters.example.com", "", false),
            ("https://clusters.example.com", "*", true),
            ("https://clusters.example.com", "example.com", true),
            ("https://clusters.example.com", ".example.com", true),
            ("https://clusters.example.com", "*.example.com", true),
            (
                "https://clusters.example.com",
                "a, clusters.example.com",
                true,
            ),
            ("https://clusters.example.com", "a b\texample.com", true),
            ("https://clusters.example.com", "ample.com", false),
            (
                "https://clusters.example.com",
                "clusters.example.com:443",
                true,
            ),
            (
                "https://clusters.example.com",
                "clusters.example.com:8443",
                false,
            ),
            (
                "https://clusters.example.com:8443",
                "*.example.com:8443",
                true,
            ),
            ("https://10.1.2.3", "10.0.0.0/8", true),
            ("https://10.1.2.3", "10.1.2.3:443", true),
            ("https://11.1.2.3", "10.0.0.0/8", false),
            ("https://[fd00::1]", "fd00::/8", true),
            ("https://[fd00::1]", "[fd00::1]:443", true),
            ("https://[fd00::1]", "fd00::1", true),
            ("https://[fd00::1]:8443", "[fd00::1]:443", false),
        ] {
            let variables = [("HTTPS_PROXY", "http://a"), ("NO_PROXY", list)];
            let proxy = asked(server, &variables).unwrap();
            assert_eq!(proxy.is_none(), excepted, "{server} with {list:?}");
        }
    }
}
