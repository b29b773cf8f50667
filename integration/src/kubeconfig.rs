//! kubeconfig files for callers and for the sidecar.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// What a kubeconfig says.
#[derive(Clone, Debug)]
pub struct Kubeconfig<'a> {
    pub server: &'a str,
    pub ca_file: &'a Path,
    pub credential: Credential<'a>,
    pub proxy_url: Option<&'a str>,
}

/// Where the token is.
#[derive(Clone, Debug)]
pub enum Credential<'a> {
    Token(&'a str),
    File(&'a Path),
}

impl Kubeconfig<'_> {
    /// As a document; JSON is YAML.
    pub fn document(&self) -> Value {
        let mut cluster = json!({ "server": self.server, "certificate-authority": self.ca_file });
        if let Some(proxy) = self.proxy_url {
            cluster["proxy-url"] = proxy.into();
        }
        let user = match self.credential {
            Credential::Token(token) => json!({ "token": token }),
            Credential::File(path) => json!({ "tokenFile": path }),
        };
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "culvert",
            "contexts": [{ "name": "culvert", "context": { "cluster": "culvert", "user": "culvert" } }],
            "clusters": [{ "name": "culvert", "cluster": cluster }],
            "users": [{ "name": "culvert", "user": user }],
        })
    }

    /// Writes the file at once, as tests share files that a kubectl may just be
    /// reading. Only its owner can read it, unless one that is there has another mode.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().context("a file's name without a folder")?;
        let mut file = NamedTempFile::new_in(folder)?;
        writeln!(file, "{:#}", self.document())?;
        if let Ok(there) = path.metadata() {
            file.as_file().set_permissions(there.permissions())?;
        }
        file.persist(path)?;
        Ok(())
    }
}
