//! Which proxy the environment names, in the variables that curl and Go programs
//! read.

use http::Uri;
use thiserror::Error;

use super::no_proxy::excepted;
use super::{Proxy, ProxyUrlError};

const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A variable that names no proxy that can be used. Never shows its value, which
/// may hold a password.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{variable}: {fault}")]
pub struct ProxyVariableError {
    variable: &'static str,
    fault: ProxyUrlError,
}

/// The proxy on the way to a server, if there is one. Of the variables that may name
/// it the first that is set and not empty counts.
///
/// # Errors
/// [`ProxyVariableError`].
pub fn proxy_for(
    server: &Uri,
    variables: &[&'static str],
    value: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ProxyVariableError> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            let value = value(name)?.trim().to_owned();
            (!value.is_empty()).then_some((*name, value))
        })
    };
    let Some((variable, text)) = first(variables) else {
        return Ok(None);
    };
    // First: a proxy that is not used need not be one that could be.
    let exceptions = first(&NO_PROXY).map_or(String::new(), |(_, list)| list);
    if excepted(server, &exceptions) {
        return Ok(None);
    }
    Proxy::from_url(&text)
        .map(Some)
        .map_err(|fault| ProxyVariableError { variable, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

    fn asked(server: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, String> {
        let server = server.parse().unwrap();
        proxy_for(&server, VARIABLES, |name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
        .map_err(|error| error.to_string())
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
            (vec![("HTTPS_PROXY", "socks5://e")], Some("socks5://e:1080")),
        ] {
            let proxy = asked("https://clusters.example.com", &variables).unwrap();
            let shown = proxy.map(|proxy| proxy.to_string());
            assert_eq!(shown.as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn what_names_no_proxy_is_told_without_its_value() {
        let value = "socks4://user:secret@a:1080";
        let error = asked("https://a.example", &[("https_proxy", value)]).unwrap_err();
        assert_eq!(error, format!("https_proxy: {}", ProxyUrlError::Scheme));
        let unused = [("https_proxy", value), ("no_proxy", "a.example")];
        assert!(asked("https://a.example", &unused).unwrap().is_none());
    }
}
