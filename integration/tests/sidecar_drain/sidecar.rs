//! A sidecar by itself, in front of an API server that the test plays or of a real one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::raw_http::{Accepted, Connection, Ended, RawUpstream};
use integration::service::Service;
use integration::wait::until;
use local_kubernetes::process::Spawner;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Nothing is left to wait for. Milliseconds; on a loaded machine more.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) type Caller = Connection<TcpStream>;

/// Ends with this.
pub(crate) struct Sidecar {
    pub(crate) service: Service,
    _spawner: Spawner,
    _folder: TempDir,
}

impl Sidecar {
    /// In front of an API server that the test plays.
    pub(crate) async fn played(flags: &[&str]) -> Result<(Self, RawUpstream)> {
        let upstream = RawUpstream::bind().await?;
        let server = json!({ "server": format!("http://{}", upstream.address) });
        Ok((Self::start(server, "a-token", flags).await?, upstream))
    }

    /// In front of the suite's control plane.
    pub(crate) async fn real(environment: &Environment) -> Result<Self> {
        let api_server = environment.api_server().await?;
        let ca = data_encoding::BASE64.encode(api_server.ca_pem.as_bytes());
        let server = json!({ "server": api_server.url, "certificate-authority-data": ca });
        Self::start(server, &api_server.token, &[]).await
    }

    async fn start(cluster: Value, token: &str, flags: &[&str]) -> Result<Self> {
        let (folder, spawner) = (tempfile::tempdir()?, Spawner::new()?);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
            "clusters": [{ "name": "a", "cluster": cluster }],
            "users": [{ "name": "a", "user": { "token": token } }],
        });
        std::fs::write(folder.path().join("config"), kubeconfig.to_string())?;
        let fixed = [
            "--kubeconfig=config",
            "--port=0",
            "--admin-address=127.0.0.1:0",
        ];
        let arguments: Vec<_> = fixed.iter().chain(flags).map(|&it| it.to_owned()).collect();
        let service = Service::start(&spawner, "proxy-sidecar", &arguments, folder.path()).await?;
        Ok(Self {
            service,
            _spawner: spawner,
            _folder: folder,
        })
    }

    /// A connection that has said nothing.
    pub(crate) async fn caller(&self) -> Result<Caller> {
        let address = self.service.address.context("no address")?;
        Ok(Connection::new(TcpStream::connect(address).await?))
    }

    /// A request on a connection of its own, whose answer has begun with these lines and
    /// bytes; both of its ends.
    pub(crate) async fn open(
        &self,
        upstream: &RawUpstream,
        request: &str,
        answer: &str,
    ) -> Result<(Caller, Accepted)> {
        let mut caller = self.caller().await?;
        caller.send(request).await?;
        let (mut connection, _) = upstream.request().await?;
        connection.send(answer).await?;
        let head = caller.head().await?;
        ensure!(head.starts_with(&answer[..12]), "{head}");
        Ok((caller, connection))
    }

    /// SIGTERM, and readiness that says so.
    pub(crate) async fn terminate(&self) -> Result<()> {
        self.service.terminate()?;
        self.drains().await
    }

    /// SIGINT, and readiness that says so.
    pub(crate) async fn interrupt(&self) -> Result<()> {
        self.service.interrupt()?;
        self.drains().await
    }

    async fn drains(&self) -> Result<()> {
        until("a drain", SOON, || async {
            let (status, text) = self.service.admin_page("/readyz").await?;
            Ok((status == 503 && text == "draining\n").then_some(()))
        })
        .await
    }

    /// Waits for its end, `within` after `since`; gives its last words.
    pub(crate) async fn ends(&mut self, since: Instant, within: Duration) -> Result<Value> {
        let code = self.service.ended(within + SOON).await?;
        let took = since.elapsed();
        println!("it ended after {took:.1?}");
        ensure!(code == Some(0), "it ended with {code:?}");
        ensure!(took < within, "it took {took:?}");
        let mut lines = self.service.log_lines().into_iter();
        let end = lines.rfind(|line| line["message"] == "ended");
        end.context("its end is not in the log")
    }
}

/// A request that is answered, on a connection that stays open.
pub(crate) async fn exchange(caller: &mut Caller, upstream: &RawUpstream) -> Result<()> {
    caller
        .send("GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await?;
    let (mut connection, _) = upstream.request().await?;
    connection
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .await?;
    let head = caller.head().await?.to_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "{head}");
    ensure!(!head.contains("connection:"), "it is to be closed: {head}");
    ensure!(caller.exactly(2).await? == "ok");
    Ok(())
}

/// Whether what comes last of an answer in chunks is no end of it.
pub(crate) fn must_be_cut(what: &str, (rest, _): &(String, Ended)) -> Result<()> {
    ensure!(!rest.ends_with("0\r\n\r\n"), "{what} looks whole: {rest:?}");
    Ok(())
}
