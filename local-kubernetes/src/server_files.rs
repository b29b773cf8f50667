//! The files and arguments of etcd and the API server.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::Options;
use crate::certificates::Certificates;
use crate::data_folder::DataFolder;
use crate::private_file::write_private;

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

/// Writes what the API server reads, and returns the arguments that name it.
/// The API server must run in the data folder.
pub(crate) fn api_server_arguments(
    folder: &DataFolder,
    port: u16,
    certificates: &Certificates,
    admin_token: &str,
    options: &Options,
) -> Result<Vec<String>> {
    for (name, content) in [
        ("server.crt", &certificates.server),
        ("server.key", &certificates.server_key),
        ("service-account.key", &certificates.service_account_key),
        (
            "service-account.pub",
            &certificates.service_account_public_key,
        ),
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
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
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
