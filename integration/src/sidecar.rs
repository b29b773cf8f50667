//! proxy-sidecar alone, as whoever puts it in the place of kubectl proxy runs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use local_kubernetes::process::Spawner;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::binaries::culvert;
use crate::raw_http::Connection;
use crate::service::Service;

/// Where the kubelet mounts a service account's files; `/var/run` is `/run`.
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// A sidecar with a folder for the files that its flags name.
pub struct Sidecar {
    pub service: Service,
    // Ends the process before the folder goes.
    _spawner: Spawner,
    folder: TempDir,
}

impl Sidecar {
    /// Runs proxy-sidecar with these flags, in the folder.
    pub async fn start(folder: TempDir, flags: &[&str]) -> Result<Self> {
        Self::start_by(folder, Path::new("env"), &[], flags).await
    }

    /// Runs `starter` with its arguments, then proxy-sidecar with its own flags.
    pub async fn start_by(
        folder: TempDir,
        starter: &Path,
        starters: &[&str],
        flags: &[&str],
    ) -> Result<Self> {
        let program = culvert("proxy-sidecar")?.display().to_string();
        let socket = flags.iter().any(|flag| flag.starts_with("--unix-socket"));
        let port = (!socket).then_some("--port=0");
        let arguments = starters
            .iter()
            .copied()
            .chain([program.as_str(), "--admin-address=127.0.0.1:0"])
            .chain(port)
            .chain(flags.iter().copied());
        let arguments: Vec<_> = arguments.map(str::to_owned).collect();
        let spawner = Spawner::new()?;
        let service = Service::start_binary(
            &spawner,
            "proxy-sidecar",
            starter,
            "trace",
            &arguments,
            folder.path(),
        )
        .await?;
        Ok(Self {
            service,
            _spawner: spawner,
            folder,
        })
    }

    /// As in a pod: in a mount namespace of its own, where the service account's
    /// files are those of the folder `account` in its folder.
    pub async fn start_in_pod(
        folder: TempDir,
        account: &str,
        api_server: &str,
        flags: &[&str],
    ) -> Result<Self> {
        let port = api_server.rsplit_once(':').context("no port")?.1;
        let account = folder.path().join(account);
        let mount = format!(
            "mount -t tmpfs tmpfs /run && mkdir -p {ACCOUNT} && \
             mount --bind '{}' {ACCOUNT} && unset KUBECONFIG && \
             export HOME=/nowhere KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT={port} && \
             exec \"$@\"",
            account.display()
        );
        let starters = ["--mount", "--map-root-user", "sh", "-c", &mount, "sh"];
        Self::start_by(folder, Path::new("unshare"), &starters, flags).await
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> PathBuf {
        self.service.log()
    }

    /// How many lines of its log have this message.
    pub fn said(&self, message: &str) -> usize {
        let lines = self.service.log_lines();
        let said = |line: &&Value| {
            let text = line["message"].as_str().unwrap_or_default();
            text.contains(message)
        };
        lines.iter().filter(said).count()
    }

    pub fn address(&self) -> Result<SocketAddr> {
        self.service.address.context("no address")
    }

    /// As callers are given it.
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.address()?))
    }

    pub async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let response = reqwest::get(format!("{}{path}", self.url()?)).await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// The name that the API server knows the caller by.
    pub async fn who(&self) -> Result<String> {
        self.who_with(&[]).await
    }

    /// As [`Self::who`], of a caller with these headers.
    pub async fn who_with(&self, headers: &[(&'static str, &str)]) -> Result<String> {
        let (status, answer) = self.try_who_with(headers).await?;
        ensure!(status == 201, "{status}: {answer}");
        Ok(answer["status"]["userInfo"]["username"]
            .as_str()
            .context("no name")?
            .to_owned())
    }

    /// Asks the API server who the caller is; gives all of its answer.
    pub async fn try_who(&self) -> Result<(u16, Value)> {
        self.try_who_with(&[]).await
    }

    async fn try_who_with(&self, headers: &[(&'static str, &str)]) -> Result<(u16, Value)> {
        let review =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
        let url = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let mut request = reqwest::Client::new().post(format!("{}{url}", self.url()?));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.json(&review).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// Asks for a WebSocket; gives the answer's head and what it is on.
    pub async fn web_socket(&self, path: &str) -> Result<(String, Connection<TcpStream>)> {
        let mut caller = Connection::new(TcpStream::connect(self.address()?).await?);
        let key = BASE64.encode(b"sixteen bytes...");
        // API servers open none for those who do not say whose page they are.
        caller
            .send(format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\
                 Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ))
            .await?;
        Ok((caller.head().await?, caller))
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> Result<(u16, String)> {
        self.service.admin_page("/readyz").await
    }
}
