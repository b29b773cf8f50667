//! tunnel-server's configuration file, as tests change it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tunnel_protocol::token::{Token, TokenKind};

/// A new token, from the system's randomness.
pub fn new_token(kind: TokenKind) -> Token {
    Token::from_random(kind, &rand::random())
}

/// What stands in the file.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub base_domain: String,
    pub listen: String,
    pub admin_listen: String,
    /// Further names of the server itself.
    pub extra_hosts: Vec<String>,
    /// What callers use, where something maps it to the listener's.
    pub public_port: Option<u16>,
    /// The section `limits`; nothing leaves the defaults.
    pub limits: Option<Value>,
    /// Further keys, an object.
    pub further: Value,
    /// `{name, connectorTokens: […]}`
    pub clusters: Vec<Value>,
    /// `{name, clusters: […], accessTokens: […]}`
    pub callers: Vec<Value>,
}

/// Limits that hold nobody up.
pub fn no_limits() -> Value {
    json!({
        "perAddress": {
            "unprovedConnections": 0,
            "unprovedRequestsPerMinute": 0,
            "failuresPerMinute": 0,
        },
        "perCaller": { "requestsPerSecond": 0, "openRequests": 0, "connections": 0 },
        "perCluster": { "requestsPerSecond": 0, "openRequests": 0, "handshakesPerMinute": 0 },
    })
}

impl ServerConfig {
    pub fn new(base_domain: &str, listen: &str) -> Self {
        Self {
            base_domain: base_domain.into(),
            listen: listen.into(),
            admin_listen: "127.0.0.1:0".into(),
            extra_hosts: Vec::new(),
            public_port: None,
            limits: None,
            further: json!({}),
            clusters: Vec::new(),
            callers: Vec::new(),
        }
    }

    pub fn cluster(&mut self, name: &str, tokens: &[&Token]) {
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| json!({ "hash": token.hash().to_string() }))
            .collect();
        self.clusters
            .push(json!({ "name": name, "owner": "tests", "connectorTokens": tokens }));
    }

    pub fn caller(&mut self, name: &str, clusters: &[&str], tokens: &[&Token]) {
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| json!({ "name": "one", "hash": token.hash().to_string() }))
            .collect();
        self.callers
            .push(json!({ "name": name, "clusters": clusters, "accessTokens": tokens }));
    }

    /// Replaces the file at once, as an editor or Kubernetes does.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut document = json!({
            "baseDomain": self.base_domain,
            "listen": self.listen,
            "adminListen": self.admin_listen,
            "extraHosts": self.extra_hosts,
            "clusters": self.clusters,
            "callers": self.callers,
        });
        if let Some(port) = self.public_port {
            document["publicPort"] = port.into();
        }
        if let Some(limits) = &self.limits {
            document["limits"] = limits.clone();
        }
        for (key, value) in self.further.as_object().into_iter().flatten() {
            document[key] = value.clone();
        }
        let beside = path.with_extension("new");
        std::fs::write(&beside, format!("{document:#}\n"))?;
        Ok(std::fs::rename(beside, path)?)
    }
}
