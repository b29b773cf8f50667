//! The real kubectl proxy and proxy-sidecar, side by side before one upstream that
//! keeps what it is asked, byte by byte.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::http1::{self, Headers, Request, Response};
use integration::raw_http::{Accepted, Connection, Ended, RawUpstream};
use integration::service::Service;
use integration::wait::until;
use local_kubernetes::Binaries;
use local_kubernetes::process::{Process, Program, Spawner};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

pub(crate) const TOKEN: &str = "the-proxys-own-token";
/// What the upstream answers.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Kept: one\r\nX-Kept: two\r\n\
                      Connection: close\r\nContent-Length: 6\r\n\r\nanswer";

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Kubectl,
    Ours,
}

pub(crate) struct Proxies {
    pub(crate) upstream: RawUpstream,
    kubectl: SocketAddr,
    ours: SocketAddr,
    _kubectl: Process,
    service: Service,
    // Ends the processes before the folder goes.
    _spawner: Spawner,
    _folder: TempDir,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// What the upstream was asked, if it was.
    pub(crate) asked: Option<Request>,
    pub(crate) answer: Response,
    /// How the connection ended.
    pub(crate) ended: Ended,
}

impl Proxies {
    /// Both with these flags.
    pub(crate) async fn start(flags: &[&str]) -> Result<Self> {
        Self::start_below("", flags).await
    }

    /// Both with these flags, ours with more of its own.
    pub(crate) async fn start_ours(flags: &[&str], ours: &[&str]) -> Result<Self> {
        let upstream = RawUpstream::bind().await?;
        let server = format!("http://{}", upstream.address);
        Self::start_at(upstream, &server, flags, ours).await
    }

    /// Both in front of a server whose URL has this path.
    pub(crate) async fn start_below(path: &str, flags: &[&str]) -> Result<Self> {
        let upstream = RawUpstream::bind().await?;
        let server = format!("http://{}{path}", upstream.address);
        Self::start_at(upstream, &server, flags, &[]).await
    }

    /// Both in front of this server, ours with flags of its own.
    pub(crate) async fn start_at(
        upstream: RawUpstream,
        server: &str,
        flags: &[&str],
        ours: &[&str],
    ) -> Result<Self> {
        let (folder, spawner) = (tempfile::tempdir()?, Spawner::new()?);
        let kubeconfig = kubeconfig(folder.path(), server)?;
        let common = [
            "--port=0".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
        ];
        let common = common
            .into_iter()
            .chain(flags.iter().map(|&flag| flag.to_owned()));
        let kubectls = [
            &["proxy".to_owned()][..],
            &common.clone().collect::<Vec<_>>(),
        ]
        .concat();
        let (kubectl_process, kubectl) =
            serving(&spawner, &kubectl_binary().await?, &kubectls, folder.path()).await?;
        let mut own: Vec<_> = common.collect();
        own.push("--admin-address=127.0.0.1:0".into());
        own.extend(ours.iter().map(|&flag| flag.to_owned()));
        let service = Service::start(&spawner, "proxy-sidecar", &own, folder.path()).await?;
        Ok(Self {
            upstream,
            kubectl,
            ours: service.address.context("no address")?,
            _kubectl: kubectl_process,
            service,
            _spawner: spawner,
            _folder: folder,
        })
    }

    /// Ours.
    pub(crate) fn ours(&self) -> &Service {
        &self.service
    }

    /// A connection.
    pub(crate) async fn caller(&self, side: Side) -> Result<Connection<TcpStream>> {
        let address = match side {
            Side::Kubectl => self.kubectl,
            Side::Ours => self.ours,
        };
        Ok(Connection::new(TcpStream::connect(address).await?))
    }

    /// Sends the bytes of one request, and reads until the connection ends.
    pub(crate) async fn exchange(&self, side: Side, request: &[u8]) -> Result<Exchange> {
        self.answered(side, request, ANSWER).await
    }

    /// The same, where the upstream answers so, and closes.
    pub(crate) async fn answered(
        &self,
        side: Side,
        request: &[u8],
        answer: &str,
    ) -> Result<Exchange> {
        let (asked, answer, ended) = self.raw_answer(side, request, answer).await?;
        let method = request.split(|byte| *byte == b' ').next();
        let method = String::from_utf8_lossy(method.unwrap_or_default());
        let answer = with_length(answer);
        let told = || format!("an answer that is none: {:?}", answer.get(..300));
        let read = http1::response(answer.as_bytes(), &method).with_context(told)?;
        let (answer, _) = read.with_context(told)?;
        Ok(Exchange {
            asked,
            answer,
            ended,
        })
    }

    /// The same; the answer as it came.
    pub(crate) async fn raw_answer(
        &self,
        side: Side,
        request: &[u8],
        answer: &str,
    ) -> Result<(Option<Request>, String, Ended)> {
        let mut asked = None;
        let serving = async {
            loop {
                let (mut connection, head) = self.upstream.request().await?;
                let request = whole(&mut connection, head).await?;
                ensure!(asked.replace(request).is_none(), "asked twice");
                connection.send(answer).await?;
            }
        };
        let calling = async {
            let mut caller = self.caller(side).await?;
            caller.send(request).await?;
            caller.rest().await
        };
        let (answer, ended) = tokio::select! {
            biased;
            answer = calling => answer?,
            failed = serving => return failed,
        };
        Ok((asked, answer, ended))
    }
}

/// A request to its end, for whose body the upstream asks if it has to.
pub(crate) async fn whole(connection: &mut Accepted, head: String) -> Result<Request> {
    if head.to_lowercase().contains("\r\nexpect: 100-continue") {
        connection.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut text = head;
    loop {
        if let Some((request, _)) = http1::request(text.as_bytes())? {
            return Ok(request);
        }
        text += &connection.exactly(1).await?;
    }
}

/// Go's own refusals end with their connection.
pub(crate) fn with_length(answer: String) -> String {
    let refusal = ["HTTP/1.1 4", "HTTP/1.1 5"];
    match answer.split_once("\r\n\r\n") {
        Some((head, body))
            if refusal.iter().any(|start| answer.starts_with(start))
                && !head.to_lowercase().contains("\r\ncontent-length: ") =>
        {
            format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
        _ => answer,
    }
}

pub(crate) async fn kubectl_binary() -> Result<PathBuf> {
    let obtain = || Binaries::obtain(&local_kubernetes::to_stderr);
    let binaries = tokio::task::spawn_blocking(obtain).await??;
    Ok(binaries.kubectl)
}

/// One of the two as a process. Where it serves it says on its first line.
pub(crate) async fn serving(
    spawner: &Spawner,
    binary: &Path,
    arguments: &[String],
    folder: &Path,
) -> Result<(Process, SocketAddr)> {
    let mut process = spawner.spawn(&Program {
        name: "proxy",
        binary,
        arguments,
        folder,
    })?;
    let address = until("the proxy's first line", SOON, || {
        let log = std::fs::read_to_string(process.log());
        let running = process.must_run();
        async move {
            running?;
            let log = log?;
            let address = log.split("Starting to serve on ").nth(1);
            let address = address.and_then(|text| text.split_once('\n'));
            Ok(address.map(|(address, _)| address.parse()).transpose()?)
        }
    })
    .await?;
    Ok((process, address))
}

/// Of a server without TLS.
pub(crate) fn kubeconfig(folder: &Path, server: &str) -> Result<PathBuf> {
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
        "clusters": [{ "name": "a", "cluster": { "server": server } }],
        "users": [{ "name": "a", "user": { "token": TOKEN } }],
    });
    let path = folder.join("kubeconfig");
    std::fs::write(&path, text.to_string())?;
    Ok(path)
}

/// Headers that both must agree on, by name, each name's values in their order.
pub(crate) fn sorted(headers: &Headers, without: &[&str]) -> Vec<(String, String)> {
    let mut sorted: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let name = String::from_utf8_lossy(name.as_ref()).to_lowercase();
            (name, String::from_utf8_lossy(value.as_ref()).into_owned())
        })
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    sorted
}
