//! Whom to call, and how.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;

/// How callers reach what they call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Entry {
    pub reach: Reach,
    /// A HTTP CONNECT to this, `HOST:PORT`, comes first.
    pub connect: Option<String>,
    pub tls: Option<Tls>,
    /// The header Host.
    pub host: String,
    /// Further header lines, each with its line end.
    pub headers: String,
}

/// Where the first hop listens.
#[derive(Clone, Debug)]
pub enum Reach {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// TLS of the callers.
#[derive(Clone, Debug)]
pub struct Tls {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Entry {
    /// Without TLS, and with a Host that kubectl proxy's filter takes.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            reach: Reach::Tcp(address),
            connect: None,
            tls: None,
            host: "localhost".into(),
            headers: String::new(),
        }
    }

    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// A request's head, but for its last empty line.
    pub fn head(&self, method: &str, path: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: bench\r\n\
             Accept: application/json, */*\r\n{}",
            self.host, self.headers
        )
    }

    /// A whole request without a body.
    pub fn get(&self, path: &str) -> Vec<u8> {
        (self.head("GET", path) + "\r\n").into_bytes()
    }
}

impl Tls {
    /// Trusts this CA alone. No session is resumed: each `kubectl` is a process that
    /// knows of none.
    pub fn new(ca_file: &Path, name: &str) -> Result<Self> {
        let mut config = service_kit::tls::client_config(Some(ca_file), &[b"http/1.1"])?;
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            name: ServerName::try_from(name.to_owned())?,
        })
    }
}
