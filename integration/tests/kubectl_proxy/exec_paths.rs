//! The filter's default, against a real API server's reading of paths: whatever it
//! would take for exec or attach is not sent to it, however it is spelled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt};
use integration::certificate_trust::client_config;
use integration::chain::{ApiServer, SOON};
use integration::environment::Environment;
use integration::raw_http::{Connection, RawUpstream};
use integration::service::Service;
use integration::wait::until;
use local_kubernetes::process::Spawner;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::proxies::kubeconfig;
use crate::spellings;

/// Connections to the API server at once.
const AT_ONCE: usize = 8;

/// proxy-sidecar alone, in front of an upstream that keeps what it is asked for.
struct Sidecar {
    service: Service,
    upstream: RawUpstream,
    secret: String,
    _spawner: Spawner,
    _folder: TempDir,
}

impl Sidecar {
    async fn start(path: &str, flags: &[&str]) -> Result<Self> {
        let (folder, spawner) = (tempfile::tempdir()?, Spawner::new()?);
        let upstream = RawUpstream::bind().await?;
        let server = format!("http://{}{path}", upstream.address);
        let kubeconfig = kubeconfig(folder.path(), &server)?;
        let mut arguments = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--port=0".to_owned(),
            "--admin-address=127.0.0.1:0".into(),
        ];
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let service = Service::start(&spawner, "proxy-sidecar", &arguments, folder.path()).await?;
        let secret = std::fs::read_to_string(folder.path().join("secret")).unwrap_or_default();
        Ok(Self {
            service,
            upstream,
            secret: secret.trim().to_owned(),
            _spawner: spawner,
            _folder: folder,
        })
    }

    /// What the upstream is asked for, if it is.
    async fn sent_on(&self, target: &str) -> Result<Option<String>> {
        let address = self.service.address.context("no address")?;
        let mut caller = Connection::new(TcpStream::connect(address).await?);
        let secret = match self.secret.as_str() {
            "" => String::new(),
            secret => format!("{}: {secret}\r\n", tunnel_protocol::header::SIDECAR_SECRET),
        };
        caller
            .send(format!(
                "GET {target} HTTP/1.1\r\nHost: localhost\r\n{secret}Connection: close\r\n\r\n"
            ))
            .await?;
        tokio::select! {
            biased;
            asked = self.upstream.request() => {
                let (_, head) = asked?;
                Ok(Some(head.split(' ').nth(1).context("no target")?.to_owned()))
            }
            answer = caller.rest() => {
                let (answer, _) = answer?;
                let refused = ["HTTP/1.1 3", "HTTP/1.1 4"];
                let refused = refused.iter().any(|start| answer.starts_with(start));
                ensure!(refused, "{target}: {answer}");
                Ok(None)
            }
        }
    }
}

/// Whether the API server takes each for exec or attach: its audit log says.
async fn streams(
    environment: &Environment,
    name: &str,
    targets: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let api_server = environment.api_server().await?;
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, &api_server.ca_pem)?;
    let config = Arc::new(client_config(&ca, &[b"http/1.1"])?);
    let api_server = Arc::new(api_server);
    let asking = targets
        .clone()
        .into_iter()
        .enumerate()
        .map(|(number, target)| {
            let connector = TlsConnector::from(config.clone());
            let id = format!("{name}-{number}");
            let api_server = api_server.clone();
            async move {
                // What it refuses unread it takes for nothing.
                let read = ask(&api_server, connector, &target, &id).await?;
                anyhow::Ok(read.then_some((id, target)))
            }
        });
    let asked = futures_util::stream::iter(asking).buffer_unordered(AT_ONCE);
    let asked: Vec<Option<(String, String)>> = asked.try_collect().await?;
    let asked: BTreeMap<_, _> = asked.into_iter().flatten().collect();
    let log = environment.kubernetes().await?.audit_log();
    until("all events in the audit log", SOON, || async {
        let text = std::fs::read_to_string(&log)?;
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut seen = BTreeMap::new();
        for event in events {
            let event: Value = event;
            if let Some(target) = event["auditID"].as_str().and_then(|id| asked.get(id)) {
                seen.insert(target.clone(), is_stream(&event["objectRef"]));
            }
        }
        let streams = seen.iter().filter(|(_, stream)| **stream);
        let streams = streams.map(|(target, _)| target.clone()).collect();
        Ok((seen.len() == asked.len()).then_some(streams))
    })
    .await
}

fn is_stream(object: &Value) -> bool {
    object["resource"] == "pods"
        && object["apiGroup"].is_null()
        && (object["subresource"] == "exec" || object["subresource"] == "attach")
}

/// Whether it took the request for one.
async fn ask(
    api_server: &ApiServer,
    connector: TlsConnector,
    target: &str,
    id: &str,
) -> Result<bool> {
    let authority = api_server.url.trim_start_matches("https://");
    let host = authority.split(':').next().unwrap_or_default();
    let stream = TcpStream::connect(authority).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let mut connection = Connection::new(connector.connect(name, stream).await?);
    connection
        .send(format!(
            "GET {target} HTTP/1.1\r\nHost: {authority}\r\nAudit-Id: {id}\r\n\
             Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
            api_server.token
        ))
        .await?;
    let head = connection.head().await?;
    Ok(!head.starts_with("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain"))
}

pub(crate) async fn exec_and_attach_in_every_spelling(environment: Arc<Environment>) -> Result<()> {
    let spellings = spellings::all();
    let as_they_are = streams(&environment, "exec-direct", &spellings).await?;
    println!(
        "of {} spellings {} reach a pod's stream",
        spellings.len(),
        as_they_are.len()
    );
    ensure!(
        as_they_are.len() > spellings.len() / 20,
        "the spellings prove too little"
    );
    let mut sent_on = BTreeSet::new();
    for (server, prefix, flags) in [
        ("", "", &[][..]),
        // Paths are not cleaned.
        ("", "", &["--secret-file=secret"]),
        ("", "", &["--reject-token-requests"]),
        ("", "/custom", &["--api-prefix=/custom"]),
        (
            "",
            "/custom",
            &["--api-prefix=/custom", "--secret-file=secret"],
        ),
        ("", "", &["--api-prefix=/api"]),
        ("/k8s/clusters/c-1", "", &["--append-server-path"]),
    ] {
        let sidecar = Sidecar::start(server, flags).await?;
        let mut count = 0;
        for spelling in &spellings {
            if let Some(target) = sidecar.sent_on(&format!("{prefix}{spelling}")).await? {
                // What the server at that path hands on.
                let target = target.strip_prefix(server).context("not below it")?;
                sent_on.insert(target.to_owned());
                count += 1;
            }
        }
        println!("{flags:?}: {count} sent on");
    }
    let reached = streams(&environment, "exec-sent-on", &sent_on).await?;
    ensure!(
        reached.is_empty(),
        "sent on, and read as exec or attach: {reached:#?}"
    );
    Ok(())
}
