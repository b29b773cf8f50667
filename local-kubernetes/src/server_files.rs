//! The files and arguments of etcd and the API server.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::certificates::Identity;
use crate::data_folder::DataFolder;
use crate::private_file::write_private;
use crate::trust::Trust;
use crate::{Options, ServingCertificate};

/// The name of etcd's socket in the data folder. etcd checks its URLs for a
/// port, also where they are sockets: it is part of the name.
const ETCD_SOCKET: &str = "etcd:0";

/// The API server takes requests of 3 MiB; etcd's own limit of 1.5 MiB would
/// refuse what tests of large objects store.
const ETCD_MAX_REQUEST_BYTES: u32 = 16 * 1024 * 1024;

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// etcd's socket, for clients that do not run in the data folder.
pub(crate) fn etcd_socket(folder: &DataFolder) -> PathBuf {
    folder.join(ETCD_SOCKET)
}

/// Where the API server writes its audit log.
pub(crate) fn audit_log(folder: &DataFolder) -> PathBuf {
    folder.join("audit.log")
}

/// Arguments for an etcd that runs in the data folder. It listens on sockets
/// in there, so it needs no ports.
pub(crate) fn etcd_arguments() -> Vec<String> {
    vec![
        "--data-dir=etcd".to_owned(),
        // What it holds does not outlive it.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls=unix://{ETCD_SOCKET}"),
        format!("--advertise-client-urls=unix://{ETCD_SOCKET}"),
        "--listen-peer-urls=unix://etcd-peer:0".to_owned(),
        format!("--max-request-bytes={ETCD_MAX_REQUEST_BYTES}"),
    ]
}

/// The certificate that is shown, in the data folder, where kube-apiserver has made
/// it itself; behind it stands its CA's.
pub(crate) fn self_made_certificate(folder: &DataFolder) -> PathBuf {
    folder.join("certs/apiserver.crt")
}

/// Writes the certificate that those see who call the API server as `localhost`.
/// The others see the same, unless [`Options::serving_certificate`] says otherwise.
pub(crate) fn write_server_certificate(folder: &DataFolder, server: &Identity) -> Result<()> {
    write_private(&folder.join("server.crt"), &server.certificate)?;
    write_private(&folder.join("server.key"), &server.key)
}

/// Writes the certificate that is its own CA.
pub(crate) fn write_own_ca(folder: &DataFolder, own: &Identity) -> Result<()> {
    write_private(&folder.join("own-ca.crt"), &own.certificate)?;
    write_private(&folder.join("own-ca.key"), &own.key)
}

fn serving_arguments(certificate: ServingCertificate) -> &'static [&'static str] {
    const FOR_LOCALHOST: &str = "--tls-sni-cert-key=server.crt,server.key:localhost";
    match certificate {
        ServingCertificate::Ca => &[
            "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key",
        ],
        ServingCertificate::SelfMade => &["--cert-dir=certs", FOR_LOCALHOST],
        ServingCertificate::OwnCa => &[
            "--tls-cert-file=own-ca.crt",
            "--tls-private-key-file=own-ca.key",
            FOR_LOCALHOST,
        ],
    }
}

/// Writes what the API server reads beside its certificate, and returns the
/// arguments that name both. The API server must run in the data folder.
pub(crate) fn api_server_arguments(
    folder: &DataFolder,
    port: u16,
    trust: &Trust,
    admin_token: &str,
    options: &Options,
) -> Result<Vec<String>> {
    for (name, content) in [
        ("service-account.key", &trust.token_key.private_pem()),
        ("service-account.pub", &trust.token_key.public_pem()),
        ("client-ca.crt", &trust.client_ca.pem()),
        (
            "tokens.csv",
            &format!("{admin_token},admin,1,system:masters\n"),
        ),
    ] {
        write_private(&folder.join(name), content)?;
    }
    let mut arguments: Vec<String> = [
        "--bind-address=127.0.0.1",
        "--permit-port-sharing=true",
        "--client-ca-file=client-ca.crt",
        // Left to itself it allows everything.
        "--authorization-mode=RBAC",
        "--token-auth-file=tokens.csv",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-signing-key-file=service-account.key",
        "--service-account-key-file=service-account.pub",
        "--service-cluster-ip-range=10.96.0.0/16",
        // The address is for the endpoints of the `kubernetes` Service, which
        // may not be loopback. There are no pods to use them, and the machine
        // may have no other address.
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
    ]
    .map(str::to_owned)
    .into();
    let serving = serving_arguments(options.serving_certificate);
    arguments.extend(serving.iter().map(|&argument| argument.to_owned()));
    arguments.push(format!("--etcd-servers=unix://{ETCD_SOCKET}"));
    arguments.push(format!("--secure-port={port}"));
    if options.audit {
        fs::write(folder.join("audit-policy.yaml"), AUDIT_POLICY)
            .context("cannot write the audit policy")?;
        arguments.push("--audit-policy-file=audit-policy.yaml".to_owned());
        arguments.push(format!("--audit-log-path={}", audit_log(folder).display()));
    }
    if let Some(longest) = options.service_account_max_token_expiration {
        let seconds = longest.as_secs();
        arguments.push(format!("--service-account-max-token-expiration={seconds}s"));
    }
    if let Some(shortest) = options.min_request_timeout {
        arguments.push(format!("--min-request-timeout={}", shortest.as_secs()));
    }
    arguments.extend_from_slice(&options.api_server_arguments);
    Ok(arguments)
}
