//! The pod's service account, as client-go finds it.

use std::env::var;
use std::io;
use std::path::{Path, PathBuf};

use http::Uri;
use kube::Config as KubeConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use service_kit::file_watch;
use thiserror::Error;

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// There is no service account.
#[derive(Debug, Error)]
pub enum InPodError {
    /// The kubelet sets both in each container.
    #[error("{HOST} or {PORT} is not set")]
    NotInPod,
    /// They say nothing that could be called.
    #[error("{HOST} and {PORT} are no host and port")]
    NoAddress,
    /// It is not mounted, or not for us.
    #[error("cannot read {TOKEN}: {0}")]
    Token(io::Error),
}

/// The API server and the service account's token.
///
/// # Errors
/// [`InPodError`].
pub(crate) fn config() -> Result<KubeConfig, InPodError> {
    let set = |name| var(name).ok().filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (set(HOST), set(PORT)) else {
        return Err(InPodError::NotInPod);
    };
    let server = server(&host, &port).ok_or(InPodError::NoAddress)?;
    std::fs::File::open(TOKEN).map_err(InPodError::Token)?;
    let mut config = KubeConfig::new(server);
    config.auth_info.token_file = Some(TOKEN.to_owned());
    config.root_cert_file = trusted(Path::new(CA));
    Ok(config)
}

fn server(host: &str, port: &str) -> Option<Uri> {
    let port: u16 = port.parse().ok()?;
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    format!("https://{host}:{port}").parse().ok()
}

/// As client-go: without it the system's certificates are trusted.
fn trusted(ca: &Path) -> Option<PathBuf> {
    let fault = match file_watch::read(ca) {
        Ok(content) => match CertificateDer::pem_slice_iter(&content).next() {
            Some(Ok(_)) => return Some(ca.to_owned()),
            Some(Err(error)) => error.to_string(),
            None => "it holds no certificate in PEM form".to_owned(),
        },
        Err(error) => error.fault.to_string(),
    };
    tracing::error!(
        file = %ca.display(),
        fault,
        "the service account's CA cannot be read: the system's certificates are trusted instead"
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        let url = |host, port| server(host, port).map(|url| url.to_string());
        assert_eq!(url("10.0.0.1", "443").unwrap(), "https://10.0.0.1:443/");
        assert_eq!(url("fd00::1", "6443").unwrap(), "https://[fd00::1]:6443/");
        assert_eq!(url("a.b", "1").unwrap(), "https://a.b:1/");
        assert_eq!(url("a.b", "tcp://1"), None);
        assert_eq!(url("a b", "1"), None);
    }

    #[test]
    fn a_ca_that_is_none_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        assert_eq!(trusted(&path), None);
        std::fs::write(&path, "no certificate").unwrap();
        assert_eq!(trusted(&path), None);
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        std::fs::write(&path, made.cert.pem()).unwrap();
        assert_eq!(trusted(&path), Some(path));
    }
}
