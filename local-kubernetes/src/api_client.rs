//! Calls to the API server and to etcd, with deadlines.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};

/// No call of ours is a watch or waits for something: each is answered in
/// milliseconds, on a loaded machine in seconds.
const DEADLINE: Duration = Duration::from_secs(30);

const HOST: &str = "localhost";

/// The API server as the administrator sees it.
pub(crate) struct ApiClient {
    url: String,
    client: Client,
}

impl ApiClient {
    /// Of the API server at that port of 127.0.0.1. It is called as `localhost`,
    /// where it always shows a certificate of a CA.
    pub(crate) fn new(port: u16, ca_pem: &str, token: &str) -> Result<Self> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(ca_pem.as_bytes())?])
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .resolve(HOST, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .no_proxy()
            .timeout(DEADLINE)
            .build()?;
        Ok(Self {
            url: format!("https://{HOST}:{port}"),
            client,
        })
    }

    /// `Ok` if the server answers `path` with 200.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String> {
        let (status, body) = self.send(Method::GET, path, None).await?;
        if status != StatusCode::OK {
            bail!("GET {path}: {status}: {body}");
        }
        Ok(body)
    }

    /// Creates the object `body`; one that is there already is left as it is.
    pub(crate) async fn ensure(&self, path: &str, body: &Value) -> Result<()> {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await?;
        if !status.is_success() && status != StatusCode::CONFLICT {
            bail!("POST {path}: {status}: {answer}");
        }
        Ok(())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await?;
        if !status.is_success() {
            bail!("POST {path}: {status}: {answer}");
        }
        Ok(serde_json::from_str(&answer)?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, String)> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        Ok((response.status(), response.text().await?))
    }
}

/// etcd, through the JSON gateway on its socket.
pub(crate) struct EtcdClient {
    client: Client,
}

impl EtcdClient {
    pub(crate) fn new(socket: &Path) -> Result<Self> {
        let client = Client::builder()
            .unix_socket(socket)
            .no_proxy()
            .timeout(DEADLINE)
            .build()?;
        Ok(Self { client })
    }

    /// Makes every revision so far one that etcd has forgotten, and returns the
    /// oldest one that it still knows.
    ///
    /// Does what the API server does every five minutes: the revision is also
    /// written to `compact_rev_key`, which makes the API server forget its own
    /// cached snapshots up to there.
    pub(crate) async fn compact(&self) -> Result<u64> {
        // A watch that starts behind revision r asks etcd for r + 1, so that
        // must be forgotten, too: two revisions of nobody's.
        self.put_compact_revision(0).await?;
        let revision = self.put_compact_revision(0).await?;
        self.put_compact_revision(revision).await?;
        let request = json!({ "revision": revision.to_string(), "physical": true });
        self.post("compaction", request).await?;
        Ok(revision)
    }

    /// Returns the revision at which it is written.
    async fn put_compact_revision(&self, value: u64) -> Result<u64> {
        let request = json!({
            "key": BASE64.encode(b"compact_rev_key"),
            "value": BASE64.encode(value.to_string().as_bytes()),
        });
        let answer = self.post("put", request).await?;
        // etcd writes 64-bit numbers as strings.
        answer["header"]["revision"]
            .as_str()
            .and_then(|revision| revision.parse().ok())
            .with_context(|| format!("etcd named no revision: {answer}"))
    }

    async fn post(&self, call: &str, body: Value) -> Result<Value> {
        // The host is for the request's header only.
        let response = self
            .client
            .post(format!("http://etcd/v3/kv/{call}"))
            .json(&body)
            .send()
            .await?;
        let (status, answer) = (response.status(), response.text().await?);
        if !status.is_success() {
            bail!("etcd, {call}: {status}: {answer}");
        }
        Ok(serde_json::from_str(&answer)?)
    }
}
