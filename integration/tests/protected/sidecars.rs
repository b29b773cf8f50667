//! Two sidecars in front of one API server, both with a token that may do
//! everything: one with the protection and one without. Requests are written byte
//! by byte, as client libraries tidy paths.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use integration::environment::Environment;
use integration::http1::{self, Response};
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::service::Service;
use local_kubernetes::process::Spawner;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use integration::chain::SOON;

/// The namespace that is protected.
pub(crate) const OWN: &str = "gitlab-connector";

/// A sidecar; ends with this.
pub(crate) struct Sidecar {
    pub(crate) service: Service,
    _spawner: Spawner,
    _folder: TempDir,
}

impl Sidecar {
    /// With the filter off, so that only the flags under test refuse.
    pub(crate) async fn start(environment: &Environment, flags: &[&str]) -> Result<Self> {
        let api_server = environment.api_server().await?;
        let folder = tempfile::tempdir()?;
        let ca_file = folder.path().join("ca.crt");
        std::fs::write(&ca_file, &api_server.ca_pem)?;
        Kubeconfig {
            server: &api_server.url,
            ca_file: &ca_file,
            credential: Credential::Token(&api_server.token),
            proxy_url: None,
        }
        .write(&folder.path().join("config"))?;
        let fixed = [
            "--kubeconfig=config",
            "--port=0",
            "--admin-address=127.0.0.1:0",
            "--disable-filter",
        ];
        let arguments: Vec<_> = fixed.iter().chain(flags).map(|&flag| flag.into()).collect();
        let spawner = Spawner::new()?;
        let service = Service::start(&spawner, "proxy-sidecar", &arguments, folder.path()).await?;
        Ok(Self {
            service,
            _spawner: spawner,
            _folder: folder,
        })
    }

    pub(crate) async fn open(environment: &Environment) -> Result<Self> {
        Self::start(environment, &[]).await
    }

    pub(crate) async fn guarded(environment: &Environment) -> Result<Self> {
        let namespaces = format!("--protect-namespaces={OWN}");
        Self::start(environment, &[&namespaces, "--reject-token-requests"]).await
    }

    fn address(&self) -> Result<SocketAddr> {
        self.service.address.context("no address")
    }

    /// The answer's head comes at once; of a watch only what comes within the
    /// first bytes is read.
    pub(crate) async fn ask(&self, method: &str, target: &str, body: &str) -> Result<Response> {
        let mut stream = TcpStream::connect(self.address()?).await?;
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        loop {
            if let Some((response, _)) = http1::response(&bytes, method)? {
                return Ok(response);
            }
            let read = timeout(SOON, stream.read_buf(&mut bytes)).await;
            if read.with_context(|| format!("{method} {target}: no answer"))?? == 0 {
                bail!("{method} {target}: cut after {} bytes", bytes.len());
            }
        }
    }
}

/// The code of the tunnel's own answers; the cluster's have none.
pub(crate) fn refusal(answer: &Response) -> Option<String> {
    let code = http1::values(&answer.headers, "culvert-error").next()?;
    Some(String::from_utf8_lossy(code).into_owned())
}

pub(crate) fn text(answer: &Response) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}
