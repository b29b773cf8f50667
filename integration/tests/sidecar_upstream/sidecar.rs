//! One proxy-sidecar in front of the suite's API server.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use integration::environment::Environment;
use integration::http1::{self, Response};
use integration::raw_http::Connection;
use integration::service::Service;
use local_kubernetes::process::Spawner;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

pub(crate) struct Sidecar {
    pub(crate) service: Service,
    // Ends the process before the folder goes.
    _spawner: Spawner,
    _folder: TempDir,
}

/// How it finds the API server.
#[derive(Debug, Default)]
pub(crate) struct Way<'a> {
    /// Instead of 127.0.0.1.
    pub(crate) host: Option<&'a str>,
    /// The kubeconfig's `proxy-url`.
    pub(crate) proxy_url: Option<String>,
    pub(crate) variables: Vec<(String, String)>,
}

impl Sidecar {
    pub(crate) async fn start(environment: &Environment, way: Way<'_>) -> Result<Self> {
        let api_server = environment.api_server().await?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.crt"), &api_server.ca_pem)?;
        std::fs::write(folder.path().join("token"), &api_server.token)?;
        let server = match way.host {
            Some(host) => api_server.url.replace("127.0.0.1", host),
            None => api_server.url,
        };
        let mut cluster = json!({ "server": server, "certificate-authority": "ca.crt" });
        if let Some(url) = way.proxy_url {
            cluster["proxy-url"] = url.into();
        }
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
            "clusters": [{ "name": "a", "cluster": cluster }],
            "users": [{ "name": "a", "user": { "tokenFile": "token" } }],
        });
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string())?;
        let arguments = [
            "--port=0",
            "--admin-address=127.0.0.1:0",
            "--kubeconfig=kubeconfig",
        ];
        let arguments = arguments.map(str::to_owned);
        let spawner = Spawner::new()?;
        let service = Service::start_with(
            &spawner,
            "proxy-sidecar",
            &arguments,
            &way.variables,
            folder.path(),
        )
        .await?;
        Ok(Self {
            service,
            _spawner: spawner,
            _folder: folder,
        })
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.service.address.context("no address")
    }

    pub(crate) fn url(&self, path: &str) -> Result<String> {
        Ok(format!("http://{}{path}", self.address()?))
    }

    /// Status and document.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let answer = reqwest::get(self.url(path)?).await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// A connection that has sent a GET, and the head of its answer.
    pub(crate) async fn open(
        &self,
        path: &str,
        lines: &str,
    ) -> Result<(Connection<TcpStream>, Response)> {
        let mut connection = Connection::new(TcpStream::connect(self.address()?).await?);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        connection.send(&request).await?;
        let head = connection.head().await?;
        let read = http1::response(head.as_bytes(), "HEAD")?;
        Ok((connection, read.context("a cut head")?.0))
    }

    /// Requests and upgraded connections that it counts as open.
    pub(crate) async fn open_requests(&self) -> Result<Option<f64>> {
        self.service.metric("proxy_sidecar_open_requests").await
    }

    /// Connections to the API server.
    pub(crate) async fn upstream_connections(&self) -> Result<Option<f64>> {
        let name = "proxy_sidecar_upstream_connections";
        self.service.metric(name).await
    }
}
