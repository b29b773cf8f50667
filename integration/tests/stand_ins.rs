//! Parts that stand in for each other: a real `kubectl proxy` in the sidecar's
//! place, and the sidecar alone, called by curl as `kubectl proxy` would be.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::service::Service;
use integration::wait::until;
use integration::{suite, tests};
use local_kubernetes::process::{Process, Program, Spawner};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// A refused token is read anew a second after it was last read, not when its 50
/// s are over; five times that on a loaded machine.
const REFRESHED: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    suite::run(tests![
        kubectl_proxy_in_the_sidecars_place,
        the_sidecar_alone_with_curl,
        the_sidecars_filter_refuses_by_default,
        a_new_token_is_used_after_a_401,
        a_token_that_comes_later,
        a_wrong_ca_is_named,
    ])
}

/// A real `kubectl proxy` with its defaults, as the connector's service account.
struct KubectlProxy {
    address: SocketAddr,
    // In this order: the process ends before who started it.
    _process: Process,
    _spawner: Spawner,
    _folder: TempDir,
}

impl KubectlProxy {
    async fn start(environment: &Environment) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let kubernetes = environment.kubernetes().await?;
        let kubeconfig = folder.path().join("kubeconfig");
        kubernetes.kubeconfig_for(&environment.api_server().await?.token, &kubeconfig)?;
        let spawner = Spawner::new()?;
        let mut process = spawner.spawn(&Program {
            name: "kubectl-proxy",
            binary: kubernetes.kubectl(),
            arguments: &["proxy", "--port=0", "--kubeconfig=kubeconfig"].map(str::to_owned),
            folder: folder.path(),
        })?;
        let log = process.log().to_owned();
        let address = until("the start of kubectl proxy", SOON, || {
            let running = process.must_run();
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            async move {
                running?;
                Ok(text
                    .lines()
                    .find_map(|line| line.strip_prefix("Starting to serve on ")?.parse().ok()))
            }
        })
        .await?;
        Ok(Self {
            address,
            _process: process,
            _spawner: spawner,
            _folder: folder,
        })
    }
}

async fn kubectl(
    environment: &Environment,
    chain: &Chain,
    server: &str,
    arguments: &[&str],
) -> Result<String> {
    let output = Command::new(environment.kubernetes().await?.kubectl())
        .args(arguments)
        .env("KUBECONFIG", chain.kubeconfig(server)?)
        .env("HOME", chain.folder())
        .output()
        .await?;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {arguments:?}: {err}");
    Ok(String::from_utf8(output.stdout)?)
}

async fn kubectl_proxy_in_the_sidecars_place(environment: Arc<Environment>) -> Result<()> {
    let proxy = KubectlProxy::start(&environment).await?;
    let options = ChainOptions {
        upstream: Some(proxy.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    until("readiness", SOON, || async {
        Ok((chain.client.admin_page("/readyz").await?.0 == 200).then_some(()))
    })
    .await?;
    for (form, server) in [("host", chain.url_by_host()), ("path", chain.url_by_path())] {
        let run =
            async |arguments: &[&str]| kubectl(&environment, &chain, &server, arguments).await;
        let name = format!("proxied-by-{form}");
        run(&["create", "configmap", &name, "--from-literal=a=1"]).await?;
        run(&["patch", "configmap", &name, "-p", r#"{"data":{"a":"2"}}"#]).await?;
        let value = run(&["get", "configmap", &name, "-o", "jsonpath={.data.a}"]).await?;
        ensure!(value == "2", "{value}");
        run(&["delete", "configmap", &name]).await?;

        // A watch's first event, while nothing else is sent.
        let url = format!("{server}/api/v1/namespaces?watch=true");
        let mut watch = chain.caller()?.get(url).send().await?;
        let event = timeout(SOON, watch.chunk()).await??.context("no event")?;
        ensure!(event.starts_with(br#"{"type":"ADDED""#));

        // kubectl proxy's own refusal is not told as ours.
        let url = format!("{server}/api/v1/namespaces/default/pods/a/exec");
        let refused = chain.caller()?.post(url).send().await?;
        ensure!(refused.status() == 403, "{}", refused.status());
        ensure!(!refused.headers().contains_key("culvert-error"));
    }
    let lines = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: https://{}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        chain.host()
    );
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "GET", "/api/v1/namespaces?watch=true", &lines))
        .await?;
    let head = caller.head().await?;
    ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
    caller.through("\"type\":\"ADDED\"").await?;
    chain.stop().await
}

/// A sidecar without a tunnel.
struct Alone {
    service: Service,
    _spawner: Spawner,
    folder: TempDir,
}

impl Alone {
    /// Starts it with what is to stand in its token and CA files.
    async fn start(environment: &Environment, token: Option<&str>, ca: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (token_file, ca_file) = (folder.path().join("token"), folder.path().join("ca.crt"));
        if let Some(token) = token {
            environment.secrets.add("the sidecar's token", token);
            std::fs::write(&token_file, token)?;
        }
        std::fs::write(&ca_file, ca)?;
        Kubeconfig {
            server: environment.kubernetes().await?.url(),
            ca_file: &ca_file,
            credential: Credential::File(&token_file),
            proxy_url: None,
        }
        .write(&folder.path().join("kubeconfig"))?;
        let spawner = Spawner::new()?;
        let arguments = [
            "--kubeconfig",
            "kubeconfig",
            "--port",
            "0",
            "--admin-address",
            "127.0.0.1:0",
        ]
        .map(str::to_owned);
        let service = Service::start(&spawner, "proxy-sidecar", &arguments, folder.path()).await?;
        Ok(Self {
            service,
            _spawner: spawner,
            folder,
        })
    }

    /// As the connector's service account.
    async fn connector(environment: &Environment) -> Result<Self> {
        let api_server = environment.api_server().await?;
        Self::start(environment, Some(&api_server.token), &api_server.ca_pem).await
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> Result<Command> {
        let address = self.service.address.context("no address")?;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--no-buffer", "--noproxy", "*"])
            .args(arguments)
            .arg(format!("http://{address}{path}"))
            .kill_on_drop(true);
        Ok(curl)
    }

    /// The status, the head and the body of what curl gets.
    async fn get(&self, path: &str, arguments: &[&str]) -> Result<Answer> {
        let output = self
            .curl(path, &[arguments, &["--include"]].concat())?
            .output()
            .await
            .context("curl is not installed")?;
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "curl {path}: {err}");
        let text = String::from_utf8(output.stdout)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Answer {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        })
    }

    fn write_token(&self, token: &str) -> Result<()> {
        let (file, beside) = (self.at("token"), self.at("token.new"));
        std::fs::write(&beside, token)?;
        Ok(std::fs::rename(beside, file)?)
    }

    fn at(&self, file: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), file)
    }

    fn stop(self, environment: &Environment) -> Result<()> {
        environment.secrets.must_not_be_in_file(&self.service.log())
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn must_be(&self, status: u16, error: Option<&str>) -> Result<()> {
        let ours = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("culvert-error: "));
        ensure!(
            (self.status, ours) == (status, error),
            "{} {ours:?} instead of {status} {error:?}: {}",
            self.status,
            self.body
        );
        Ok(())
    }
}

async fn the_sidecar_alone_with_curl(environment: Arc<Environment>) -> Result<()> {
    let sidecar = Alone::connector(&environment).await?;
    let printed = std::fs::read_to_string(sidecar.service.log())?;
    let announced = format!(
        "Starting to serve on {}",
        sidecar.service.address.context("no address")?
    );
    ensure!(printed.contains(&announced), "programs wait for that line");

    let list = sidecar.get("/api/v1/namespaces", &[]).await?;
    list.must_be(200, None)?;
    let list: Value = serde_json::from_str(&list.body)?;
    ensure!(list["kind"] == "NamespaceList", "{}", list["kind"]);

    let path = "/api/v1/namespaces/default/configmaps";
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "by-curl" }, "data": { "a": "1" },
    })
    .to_string();
    let json = "Content-Type: application/json";
    let created = sidecar
        .get(path, &["--header", json, "--data", &object])
        .await?;
    created.must_be(201, None)?;
    let again = sidecar
        .get(path, &["--header", json, "--data", &object])
        .await?;
    again.must_be(409, None)?;

    let mut watch = sidecar
        .curl(&format!("{path}?watch=true"), &[])?
        .stdout(Stdio::piped())
        .spawn()?;
    let mut events = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let event = timeout(SOON, events.next_line()).await??;
    ensure!(event.is_some_and(|event| event.contains(r#""type":"ADDED""#)));
    watch.kill().await?;

    let deleted = sidecar
        .get(&format!("{path}/by-curl"), &["--request", "DELETE"])
        .await?;
    deleted.must_be(200, None)?;
    sidecar.stop(&environment)
}

async fn the_sidecars_filter_refuses_by_default(environment: Arc<Environment>) -> Result<()> {
    let sidecar = Alone::connector(&environment).await?;
    let pod = "/api/v1/namespaces/default/pods/a";
    let upgrade: &[&str] = &[
        "--header",
        "Connection: Upgrade",
        "--header",
        "Upgrade: SPDY/3.1",
    ];
    for subresource in ["exec?command=sh", "attach", "%65xec"] {
        for arguments in [&[][..], &["--request", "POST"], upgrade] {
            let refused = sidecar
                .get(&format!("{pod}/{subresource}"), arguments)
                .await?;
            refused.must_be(403, Some("filtered"))?;
        }
    }
    // Another site's page that calls by a name of its own.
    let rebound = sidecar
        .get("/api", &["--header", "Host: evil.example"])
        .await?;
    rebound.must_be(403, Some("filtered"))?;
    // What is not refused gets to the API server, which has no such pod.
    sidecar
        .get(&format!("{pod}/log"), &[])
        .await?
        .must_be(404, None)?;
    sidecar.stop(&environment)
}

async fn a_new_token_is_used_after_a_401(environment: Arc<Environment>) -> Result<()> {
    let api_server = environment.api_server().await?;
    let sidecar =
        Alone::start(&environment, Some("expired-token-0123"), &api_server.ca_pem).await?;
    let path = "/api/v1/namespaces";
    sidecar.get(path, &[]).await?.must_be(401, None)?;
    sidecar.write_token(&api_server.token)?;
    let written = Instant::now();
    until("the new token", REFRESHED, async || {
        let answer = sidecar.get(path, &[]).await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    println!("the new token was used after {:?}", written.elapsed());
    sidecar.stop(&environment)
}

async fn a_token_that_comes_later(environment: Arc<Environment>) -> Result<()> {
    let api_server = environment.api_server().await?;
    let sidecar = Alone::start(&environment, None, &api_server.ca_pem).await?;
    let path = "/api/v1/namespaces";
    let refused = sidecar.get(path, &[]).await?;
    refused.must_be(503, Some("credential-unavailable"))?;
    let (status, reason) = sidecar.service.admin_page("/readyz").await?;
    ensure!(
        status == 503 && reason.contains("token"),
        "{status} {reason}"
    );
    ensure!(sidecar.service.admin_page("/livez").await?.0 == 200);
    sidecar.write_token(&api_server.token)?;
    // That there was none is remembered for a second.
    until("the token is taken", SOON, || async {
        let answer = sidecar.get(path, &[]).await?;
        Ok(answer.must_be(200, None).ok())
    })
    .await?;
    ensure!(sidecar.service.admin_page("/readyz").await?.0 == 200);
    sidecar.stop(&environment)
}

async fn a_wrong_ca_is_named(environment: Arc<Environment>) -> Result<()> {
    let token = environment.api_server().await?.token;
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let sidecar = Alone::start(&environment, Some(&token), &other.cert.pem()).await?;
    let refused = sidecar.get("/api", &[]).await?;
    refused.must_be(502, Some("api-server-unreachable"))?;
    ensure!(refused.body.contains("certificate"), "{}", refused.body);
    sidecar.stop(&environment)
}
