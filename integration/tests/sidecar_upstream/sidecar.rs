//! One proxy-sidecar in front of the suite's API server.

use std::ops::Deref;
use std::path::Path;

use anyhow::{Context, Result};
use integration::environment::Environment;
use integration::raw_http::Connection;
use integration::sidecar::Sidecar as Alone;
use serde_json::json;
use tokio::net::TcpStream;

pub(crate) struct Sidecar(Alone);

/// How it finds the API server.
#[derive(Debug, Default)]
pub(crate) struct Way<'a> {
    /// Instead of 127.0.0.1.
    pub(crate) host: Option<&'a str>,
    /// The kubeconfig's `proxy-url`.
    pub(crate) proxy_url: Option<String>,
    /// Of its environment, as `NAME=value`.
    pub(crate) variables: Vec<String>,
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
        let variables: Vec<_> = way.variables.iter().map(String::as_str).collect();
        let flags = ["--kubeconfig=kubeconfig"];
        let alone = Alone::start_by(folder, Path::new("env"), &variables, &flags).await?;
        Ok(Self(alone))
    }

    /// A connection that has sent a GET, and the status of its answer, whose head is read.
    pub(crate) async fn open(
        &self,
        path: &str,
        lines: &str,
    ) -> Result<(Connection<TcpStream>, u16)> {
        let mut connection = Connection::new(TcpStream::connect(self.address()?).await?);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        connection.send(&request).await?;
        let head = connection.head().await?;
        let status = head.split(' ').nth(1).context("no status")?;
        Ok((connection, status.parse()?))
    }

    pub(crate) fn path(&self, path: &str) -> Result<String> {
        Ok(format!("{}{path}", self.url()?))
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

impl Deref for Sidecar {
    type Target = Alone;

    fn deref(&self) -> &Alone {
        &self.0
    }
}
