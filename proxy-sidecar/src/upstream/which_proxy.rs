//! The proxy on the way to the API server: the kubeconfig's `proxy-url`, else the
//! environment's, as client-go finds it.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use kube::Config as KubeConfig;
use service_kit::proxy::{Proxy, ProxyUrlError, ProxyVariableError, proxy_for};
use thiserror::Error;

const HTTPS: &[&str] = &["HTTPS_PROXY", "https_proxy"];
const HTTP: &[&str] = &["HTTP_PROXY", "http_proxy"];

/// The proxy that is named cannot be used. Never shows its URL.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProxyChoiceError {
    /// By the kubeconfig.
    #[error("the kubeconfig's proxy-url: {0}")]
    Kubeconfig(#[from] ProxyUrlError),
    /// By the environment.
    #[error(transparent)]
    Environment(#[from] ProxyVariableError),
}

/// What the kubeconfig names is used whatever `NO_PROXY` says.
pub(super) fn of(
    config: &KubeConfig,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ProxyChoiceError> {
    let server = &config.cluster_url;
    if let Some(url) = &config.proxy_url {
        return Ok(Some(Proxy::from_url(&url.to_string())?));
    }
    if is_this_machine(server) {
        return Ok(None);
    }
    let variables = match server.scheme() == Some(&Scheme::HTTP) {
        true => HTTP,
        false => HTTPS,
    };
    Ok(proxy_for(server, variables, variable)?)
}

/// Whether a server is on this machine, by its name or address.
pub(super) fn is_this_machine(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .map_or(bare == "localhost", |ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, own: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let mut config = KubeConfig::new(server.parse().unwrap());
        config.proxy_url = own.map(|url| url.parse().unwrap());
        let proxy = of(&config, |name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        });
        proxy.unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn as_client_go_chooses() {
        let all = &[("HTTPS_PROXY", "http://a:1"), ("HTTP_PROXY", "http://b:1")];
        for (server, own, variables, proxy) in [
            ("https://k8s.example", None, &all[..], Some("http://a:1")),
            ("http://k8s.example", None, &all[..], Some("http://b:1")),
            ("https://localhost:6443", None, &all[..], None),
            ("https://127.0.0.1:6443", None, &all[..], None),
            ("https://[::1]:6443", None, &all[..], None),
            (
                "https://127.0.0.1:6443",
                Some("socks5://c"),
                &all[..],
                Some("socks5://c:1080"),
            ),
            (
                "https://k8s.example",
                Some("https://d"),
                &[("NO_PROXY", "*")],
                Some("https://d:443"),
            ),
            (
                "https://10.1.2.3",
                None,
                &[("HTTPS_PROXY", "a:1"), ("NO_PROXY", "10.0.0.0/8")],
                None,
            ),
            ("https://k8s.example", None, &[("ALL_PROXY", "a:1")], None),
        ] {
            let found = chosen(server, own, variables);
            assert_eq!(found.as_deref(), proxy, "{server} {own:?} {variables:?}");
        }
    }
}
