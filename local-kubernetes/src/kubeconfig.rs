//! Writes kubeconfig files.

use std::path::Path;

use anyhow::Result;
use data_encoding::BASE64;
use serde_json::json;

use crate::private_file::write_private;

/// What a kubeconfig file says: one server and one user.
#[derive(Clone, Copy)]
pub struct Kubeconfig<'a> {
    /// The URL of the API server, or of something that stands before it; a
    /// path is kept.
    pub server: &'a str,
    /// The CA that the server's certificate must be of, in PEM. `None` for
    /// plain HTTP and for the system's CAs.
    pub ca_pem: Option<&'a str>,
    /// The bearer token.
    pub token: &'a str,
    /// The namespace for commands that name none; `None` means `default`.
    pub namespace: Option<&'a str>,
}

impl Kubeconfig<'_> {
    /// Writes the file with mode 0600, over what may be there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut cluster = json!({ "server": self.server });
        if let Some(ca) = self.ca_pem {
            cluster["certificate-authority-data"] = BASE64.encode(ca.as_bytes()).into();
        }
        let mut context = json!({ "cluster": "local", "user": "local" });
        if let Some(namespace) = self.namespace {
            context["namespace"] = namespace.into();
        }
        // JSON is YAML, too.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "local", "cluster": cluster }],
            "users": [{ "name": "local", "user": { "token": self.token } }],
            "contexts": [{ "name": "local", "context": context }],
            "current-context": "local",
        });
        write_private(path, &format!("{config:#}\n"))
    }
}
