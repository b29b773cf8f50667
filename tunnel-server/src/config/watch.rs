//! Takes over changes of the configuration file and of the certificate.

use std::path::PathBuf;
use std::sync::Arc;

use service_kit::file_watch::{Content, Event, FileFault, FileWatch};
use service_kit::secret_file;
use service_kit::tasks::blocking;
use service_kit::tls::{Pem, ReloadingCertificate};

use super::file::{self, CertificateFiles, File};
use crate::access::file_store::FileStore;
use crate::limits::Limits;
use crate::metrics::{Metrics, Reload};

/// The certificate that new connections get, and where it is read anew.
pub(crate) struct Certificate {
    pub(crate) files: CertificateFiles,
    pub(crate) in_use: Arc<ReloadingCertificate>,
}

/// What changes while the server runs.
pub(crate) struct InForce {
    pub(crate) store: Arc<FileStore>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Watches until it is dropped. Whatever is wrong with a file is told once, and the
/// last good one stays.
pub(crate) async fn watch(
    path: PathBuf,
    text: Content,
    started_with: File,
    certificate: Option<Certificate>,
    in_force: InForce,
) {
    let follow_certificate = async {
        if let Some(certificate) = certificate {
            follow_certificate(certificate, &in_force.metrics).await;
        }
    };
    tokio::join!(
        follow_configuration(path, text, started_with, &in_force),
        follow_certificate
    );
}

/// A file with faults is refused whole, and each fault is logged.
async fn follow_configuration(
    path: PathBuf,
    text: Content,
    started_with: File,
    in_force: &InForce,
) {
    let mut watch = FileWatch::with_contents(&[&path], [text.as_slice()]);
    drop(text);
    let shown = path.display();
    // Of what was read last, which may be unreadable now.
    let mut is_good = true;
    loop {
        let contents = match watch.next().await {
            Event::Changed(contents) => contents,
            Event::Restored => {
                in_force.metrics.configuration_is_current(is_good);
                tracing::info!(path = %shown, "the configuration file can be read again, and is what it was");
                continue;
            }
            Event::Faulty(fault) => {
                in_force.metrics.configuration_is_current(false);
                tracing::error!(%fault, "the configuration file cannot be read, the last good one stays");
                continue;
            }
        };
        secret_file::warn_if_writable(&path);
        // A file of many clusters takes long.
        let read = blocking(move || {
            let text = contents.first().map_or(&[][..], |content| content);
            file::read(&String::from_utf8_lossy(text))
        });
        let read = read.await;
        is_good = read.is_ok();
        match read {
            Ok(file) => apply(file, &started_with, in_force, &path),
            Err(faults) => {
                in_force.metrics.reload(Reload::Refused);
                tracing::error!(path = %shown, "configuration refused, the last good one stays:\n{faults}");
            }
        }
    }
}

fn apply(file: File, started_with: &File, in_force: &InForce, path: &std::path::Path) {
    if !file.starts_as(started_with) {
        tracing::warn!(
            "listeners, domains and the certificate's paths are taken over at the next start only"
        );
    }
    let (clusters, callers) = (file.access.clusters(), file.access.callers());
    in_force.store.replace(file.access);
    in_force.limits.change(file.limits);
    in_force.metrics.reload(Reload::Applied);
    tracing::info!(path = %path.display(), clusters, callers, "configuration taken over");
}

/// The certificate and its key belong together, and are looked at together.
async fn follow_certificate(certificate: Certificate, metrics: &Metrics) {
    let Certificate { files, in_use } = certificate;
    let CertificateFiles { certificate, key } = &files;
    let mut watch = FileWatch::new(&[certificate, key]);
    let refused = |fault: &dyn std::fmt::Display| {
        metrics.certificate_refused();
        tracing::error!(error = %fault, "certificate refused, the last good one stays");
    };
    let mut is_good = true;
    loop {
        let contents = match watch.next().await {
            Event::Changed(contents) => contents,
            Event::Restored => {
                if is_good {
                    metrics.certificate(in_use.expires());
                }
                tracing::info!(path = %certificate.display(), "the certificate's files can be read again, and are what they were");
                continue;
            }
            Event::Faulty(fault) => {
                refused(&fault as &FileFault);
                continue;
            }
        };
        let pem = |path, at: usize| Pem {
            path,
            content: contents.get(at).map_or(&[], |content| content),
        };
        let taken = in_use.replace(pem(certificate, 0), pem(key, 1));
        is_good = taken.is_ok();
        match taken {
            Ok(is_new) => {
                metrics.certificate(in_use.expires());
                if is_new {
                    tracing::info!(path = %certificate.display(), "certificate taken over");
                }
            }
            Err(error) => refused(&error),
        }
    }
}
