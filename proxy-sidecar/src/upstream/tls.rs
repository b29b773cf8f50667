//! TLS with the API server: whom it trusts and with which certificate it shows itself,
//! made anew when the files change, or when an exec plugin gives another certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Config as KubeConfig;
use kube::client::ConfigExt;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use service_kit::file_watch::{MadeOfFiles, Reading};
use thiserror::Error;

use super::own_certificate::TrustsItself;
use crate::credential::without_secrets;
use crate::plugin::Plugin;

/// The files are looked at once in this time at most, as client-go does.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Makes TLS configurations of what the files say now, and of what the plugin said last.
pub(super) struct Tls {
    /// All that may change while we run.
    files: MadeOfFiles<ClientConfig, TlsError>,
    plugin: Option<Arc<Plugin>>,
    name: ServerName<'static>,
    current: Mutex<Current>,
}

struct Current {
    shared: Arc<Configs>,
    /// What it was made of.
    of_files: Arc<ClientConfig>,
    /// The plugin's, above the files'.
    identity: Option<Arc<CertifiedKey>>,
}

/// What connections are made with.
pub(super) struct Configs {
    /// HTTP/2 where the server has it.
    pub(super) any: Arc<ClientConfig>,
    /// HTTP/1.1 alone: over HTTP/2 Kubernetes switches no protocols.
    pub(super) http1: Arc<ClientConfig>,
    /// Tells them apart.
    pub(super) generation: u64,
}

/// TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificates that are trusted.
    #[error("{path}: {fault}", path = .path.display())]
    Ca {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The name that the certificate has to have.
    #[error("{0:?} is no name that a certificate could have; give one with --tls-server-name")]
    Name(String),
    /// kube-client's words, without secrets.
    #[error("{0}")]
    Client(String),
}

impl Tls {
    /// Reads all files. `config` is without a plugin.
    pub(super) fn new(
        mut config: KubeConfig,
        plugin: Option<Arc<Plugin>>,
    ) -> Result<Self, TlsError> {
        let ca_file = config.root_cert_file.take();
        let user = &config.auth_info;
        let paths = [
            (
                &user.client_certificate,
                user.client_certificate_data.is_none(),
            ),
            (&user.client_key, user.client_key_data.is_none()),
        ];
        let own = paths.into_iter().filter(|(_, counts)| *counts);
        let own = own.filter_map(|(path, _)| path.as_ref().map(PathBuf::from));
        let files: Vec<_> = ca_file.iter().cloned().chain(own).collect();
        let host = config.cluster_url.host().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = config.tls_server_name.clone().unwrap_or(host);
        let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name))?;
        let made =
            move |readings: &[Reading]| read(&config, ca_file.as_deref().zip(readings.first()));
        let files = MadeOfFiles::new("certificates for the API server", files, made)?;
        let of_files = files.within(BETWEEN_LOOKS);
        let identity = identity(plugin.as_deref());
        let current = Current {
            shared: Arc::new(Configs::new(&of_files, identity.as_ref(), 0)),
            of_files,
            identity,
        };
        Ok(Self {
            files,
            plugin,
            name,
            current: Mutex::new(current),
        })
    }

    /// What the server's certificate has to name.
    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// What the files say; the last good where they say nothing. Asks no plugin.
    pub(super) fn current(&self) -> Arc<Configs> {
        self.current_within(BETWEEN_LOOKS)
    }

    /// The files are looked at, if that was last done so long ago.
    fn current_within(&self, time: Duration) -> Arc<Configs> {
        let identity = identity(self.plugin.as_deref());
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let of_files = self.files.within(time);
        let same_files = Arc::ptr_eq(&current.of_files, &of_files);
        let same = current.identity.as_ref().map(Arc::as_ptr) == identity.as_ref().map(Arc::as_ptr);
        if !same_files || !same {
            let next = current.shared.generation + 1;
            *current = Current {
                shared: Arc::new(Configs::new(&of_files, identity.as_ref(), next)),
                of_files,
                identity,
            };
        }
        current.shared.clone()
    }
}

impl Configs {
    fn new(of_files: &ClientConfig, identity: Option<&Arc<CertifiedKey>>, generation: u64) -> Self {
        let mut tls = of_files.clone();
        if let Some(identity) = identity {
            let resolver = SingleCertAndKey::from(CertifiedKey::clone(identity));
            tls.client_auth_cert_resolver = Arc::new(resolver);
        }
        let with = |protocols: &[&[u8]]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(tls)
        };
        Self {
            any: with(&[b"h2", b"http/1.1"]),
            http1: with(&[b"http/1.1"]),
            generation,
        }
    }
}

fn identity(plugin: Option<&Plugin>) -> Option<Arc<CertifiedKey>> {
    plugin?.answer().identity.clone()
}

/// `ca` is the file with the CA, and what was read of it. The others kube-client reads
/// itself.
fn read(config: &KubeConfig, ca: Option<(&Path, &Reading)>) -> Result<ClientConfig, TlsError> {
    let mut config = config.clone();
    if let Some((path, reading)) = ca {
        config.root_cert = Some(certificates(path, reading)?);
    }
    let client = |error: kube::Error| TlsError::Client(without_secrets(&error));
    let mut tls = config.rustls_client_config().map_err(client)?;
    if let Some(trusted) = config.root_cert.filter(|_| !config.accept_invalid_certs) {
        let trusted = trusted.into_iter().map(CertificateDer::from).collect();
        let verifier = TrustsItself::new(trusted);
        let verifier = verifier.map_err(|error| TlsError::Client(error.to_string()))?;
        tls.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    Ok(tls)
}

fn certificates(path: &Path, reading: &Reading) -> Result<Vec<Vec<u8>>, TlsError> {
    let read = || {
        let content = reading.as_ref().map_err(|error| error.fault.to_string())?;
        let certificates = CertificateDer::pem_slice_iter(content)
            .map(|one| one.map(|der| der.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        match certificates.is_empty() {
            true => Err("it holds no certificate in PEM form".to_owned()),
            false => Ok(certificates),
        }
    };
    read().map_err(|fault| TlsError::Ca {
        path: path.to_owned(),
        fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::config::ExecConfig;

    /// A certificate and its key.
    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["joe".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    async fn plugin(folder: &Path) -> Arc<Plugin> {
        let (certificate, key) = made();
        let status = serde_json::json!({
            "clientCertificateData": certificate, "clientKeyData": key,
        });
        let answer = serde_json::json!({ "status": status });
        std::fs::write(folder.join("answer"), answer.to_string()).unwrap();
        let script = "echo run >> \"$0/runs\" && cat \"$0/answer\"";
        let exec = serde_json::json!({
            "command": "sh", "args": ["-c", script, folder], "interactiveMode": "Never",
        });
        let exec: ExecConfig = serde_json::from_value(exec).unwrap();
        Arc::new(Plugin::start(exec).await.unwrap())
    }

    /// As if the files had not been looked at for long.
    fn later(tls: &Tls) -> Arc<Configs> {
        tls.current_within(Duration::ZERO)
    }

    #[tokio::test]
    async fn changed_files_go_with_what_the_plugin_said_last_and_ask_it_nothing() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.crt");
        std::fs::write(&ca_file, made().0).unwrap();
        let mut config = KubeConfig::new("https://127.0.0.1:1".parse().unwrap());
        config.root_cert_file = Some(ca_file.clone());
        let tls = Tls::new(config, Some(plugin(folder.path()).await)).unwrap();
        assert_eq!(later(&tls).generation, 0);
        std::fs::write(&ca_file, "no certificate").unwrap();
        let faulty = later(&tls);
        assert_eq!(faulty.generation, 0);
        std::fs::write(&ca_file, made().0).unwrap();
        let changed = later(&tls);
        assert_eq!(changed.generation, 1);
        for configs in [faulty, changed] {
            assert!(configs.any.client_auth_cert_resolver.has_certs());
            assert!(configs.http1.client_auth_cert_resolver.has_certs());
        }
        let runs = std::fs::read_to_string(folder.path().join("runs")).unwrap();
        assert_eq!(runs, "run\n");
    }

    #[tokio::test]
    async fn another_identity_is_another_generation_at_once() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let config = KubeConfig::new("https://127.0.0.1:1".parse().unwrap());
        let mut tls = Tls::new(config, Some(plugin(folder.path()).await)).unwrap();
        assert_eq!(tls.current().generation, 0);
        tls.plugin = Some(plugin(folder.path()).await);
        assert_eq!(tls.current().generation, 1);
        assert_eq!(tls.current().generation, 1);
    }
}
