//! Takes over changes of the configuration file and of the certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use service_kit::file_watch::FileWatch;
use service_kit::tls::ReloadingCertificate;

use super::file::{self, CertificateFiles, File};
use crate::access::file_store::FileStore;
use crate::limits::Limits;
use crate::metrics::{Metrics, Reload};

/// What changes while the server runs.
pub(crate) struct InForce {
    pub(crate) store: Arc<FileStore>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) certificate: Arc<ReloadingCertificate>,
    pub(crate) metrics: Metrics,
}

/// Watches until it is dropped. A file with faults is refused whole: each fault
/// is logged, and the last good one stays.
pub(crate) async fn watch(
    path: PathBuf,
    text: Vec<u8>,
    started_with: File,
    certificate_files: CertificateFiles,
    in_force: InForce,
) {
    let InForce {
        store,
        limits,
        certificate,
        metrics,
    } = in_force;
    let configuration = async {
        let mut watch = FileWatch::new(&path, text);
        loop {
            let text = String::from_utf8_lossy(watch.changed().await).into_owned();
            match file::read(&text) {
                Ok(file) => {
                    if !file.starts_as(&started_with) {
                        tracing::warn!(
                            "listeners, domains and the certificate's paths are taken over at the next start only"
                        );
                    }
                    let (clusters, callers) = (file.access.clusters(), file.access.callers());
                    store.replace(file.access);
                    limits.change(file.limits);
                    metrics.reload(Reload::Applied);
                    tracing::info!(path = %path.display(), clusters, callers, "configuration taken over");
                }
                Err(faults) => {
                    metrics.reload(Reload::Refused);
                    tracing::error!(path = %path.display(), "configuration refused, the last good one stays:\n{faults}");
                }
            }
        }
    };
    let certificates = async {
        let CertificateFiles {
            certificate: chain,
            key,
        } = &certificate_files;
        let (mut chain_watch, mut key_watch) = (watch_of(chain).await, watch_of(key).await);
        loop {
            // Whichever is written last makes the two fit.
            tokio::select! {
                _ = chain_watch.changed() => {}
                _ = key_watch.changed() => {}
            }
            match certificate.reload(chain, key) {
                Ok(()) => {
                    metrics.certificate(certificate.expires());
                    tracing::info!(path = %chain.display(), "certificate taken over");
                }
                Err(error) => {
                    metrics.certificate_refused();
                    tracing::error!(%error, "certificate refused, the last good one stays");
                }
            }
        }
    };
    tokio::join!(configuration, certificates);
}

async fn watch_of(path: &Path) -> FileWatch {
    let content = tokio::fs::read(path).await.unwrap_or_default();
    FileWatch::new(path, content)
}
