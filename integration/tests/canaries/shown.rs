//! The whole chain, driven with canaries: nothing of it shows one.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::binaries::culvert;
use integration::certificate_trust::client_config;
use integration::chain::{
    BASE_DOMAIN, CALLER, CLUSTER, Chain, ChainOptions, SOON, client_arguments,
};
use integration::environment::Environment;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::played_cluster::OWN_TOKEN;
use integration::raw_http::{Caller, Connection, RawUpstream};
use integration::server_config::{ServerConfig, new_token};
use integration::tinyproxy::Tinyproxy;
use integration::wait::until;
use local_kubernetes::process::{Program, Spawner};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tunnel_protocol::token::TokenKind;

use crate::planted::Canaries;
use crate::requests::{Target, send_all};

const SECRET_FILE: &str = "sidecar-secret";
const AUDIT_LOG: &str = "audit.log";

/// Everything at once at the most talkative level, through an HTTP proxy with a
/// password.
pub(crate) async fn requests_show_nothing_in_json(environment: Arc<Environment>) -> Result<()> {
    let proxy = Tinyproxy::start(&environment.secrets).await?;
    let mut canaries = Canaries::default();
    let options = ChainOptions {
        sidecar_arguments: vec![format!("--secret-file={SECRET_FILE}")],
        client_arguments: vec![format!("--sidecar-secret-file={SECRET_FILE}")],
        client_variables: vec![("HTTPS_PROXY".to_owned(), proxy.url())],
        ..ChainOptions::bare()
    };
    let (mut chain, cluster) = integration::played_cluster::start(&environment, options).await?;
    environment
        .secrets
        .add("the service account's token", OWN_TOKEN);
    let files = [SECRET_FILE, "connector-token"];
    for file in files {
        let secret = std::fs::read_to_string(chain.folder().join(file))?;
        canaries.add(file, secret.trim().to_owned());
    }
    let key = std::fs::read_to_string(chain.folder().join("dev/tls.key"))?;
    canaries.add(
        "the TLS key",
        key.lines().nth(1).context("no key")?.to_owned(),
    );
    canaries.add("the access token", chain.access_token.expose().to_owned());

    let stranger = new_token(TokenKind::Connector);
    canaries.add("a stranger's connector token", stranger.expose().to_owned());
    let target = Target {
        token: chain.access_token.expose(),
        connector: stranger.expose(),
    };
    let said = send_all(|| chain.raw_caller(), &cluster, &target, &mut canaries).await?;
    canaries.must_not_be_in("an answer of the tunnel's own", &said)?;
    let sidecar = sidecar_refuses(&chain, &mut canaries).await?;
    canaries.must_not_be_in("the sidecar's answer", &sidecar)?;
    config_faults(&mut chain, &mut canaries).await?;

    canaries.tell(&environment.secrets);
    for service in chain.services() {
        let metrics = service.admin_page("/metrics").await?.1;
        canaries.must_not_be_in("metrics", &metrics)?;
        let ready = service.admin_page("/readyz").await?.1;
        canaries.must_not_be_in("readiness", &ready)?;
        let log = std::fs::read_to_string(service.log())?;
        canaries.must_not_be_in(&service.log().display().to_string(), &log)?;
    }
    for service in chain.services() {
        let environ = std::fs::read(format!("/proc/{}/environ", service.id()))?;
        canaries.must_not_be_in("an environment", &String::from_utf8_lossy(&environ))?;
    }
    let audited = chain.server.log_lines();
    let audited = audited.iter().filter(|line| line["event"] == "request");
    let audited = audited.count();
    println!("{audited} lines of the audit log were searched");
    ensure!(audited > 15, "there is no audit log to search");
    chain.stop().await
}

/// Somebody who reaches the sidecar's port without its secret.
async fn sidecar_refuses(chain: &Chain, canaries: &mut Canaries) -> Result<String> {
    let url = format!(
        "http://{}/api?t={}",
        chain.upstream()?,
        canaries.plain("a query at the sidecar")
    );
    let answer = reqwest::Client::new()
        .get(url)
        .bearer_auth(canaries.plain("a token at the sidecar"))
        .header(
            "culvert-sidecar-secret",
            canaries.known("a wrong secret", "culvert_sidecar_"),
        )
        .send()
        .await?;
    ensure!(answer.status() == 401);
    Ok(answer.text().await?)
}

/// Tokens where the configuration has no place for them.
async fn config_faults(chain: &mut Chain, canaries: &mut Canaries) -> Result<()> {
    let path = chain.config_path();
    let good = std::fs::read_to_string(&path)?;
    let refused = "tunnel_server_config_reloads_total{outcome=\"refused\"}";
    for place in ["a hash", "a name", "a key", "YAML that is none"] {
        let token = canaries.known(place, TokenKind::Access.prefix());
        let text = match place {
            "a hash" => format!("clusters: [{{name: a, connectorTokens: [{{hash: {token}}}]}}]"),
            "a name" => format!("callers: [{{name: {token}}}, {{name: {token}}}]"),
            "a key" => format!("{token}: 1"),
            _ => format!("clusters: [ {token} }}"),
        };
        let before = chain.server.metric(refused).await?;
        std::fs::write(&path, text)?;
        until("a refusal", SOON, || async {
            Ok((chain.server.metric(refused).await? > before).then_some(()))
        })
        .await?;
    }
    Ok(std::fs::write(&path, good)?)
}

/// The same at each level, as text. Only what the programs print by themselves
/// tells where they are.
pub(crate) async fn requests_show_nothing_in_text(environment: Arc<Environment>) -> Result<()> {
    for level in ["error", "warn", "info", "debug", "trace"] {
        in_text(&environment, level).await.with_context(|| level)?;
    }
    Ok(())
}

async fn in_text(environment: &Environment, level: &str) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("culvert-canaries-")
        .tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let mut canaries = Canaries::default();
    let (access, connector) = (
        new_token(TokenKind::Access),
        new_token(TokenKind::Connector),
    );
    let own = canaries.plain("the service account's token");
    for token in [&access, &connector] {
        canaries.add("a token of ours", token.expose().to_owned());
    }
    std::fs::write(at("connector-token"), connector.expose())?;
    std::fs::write(at("sa-token"), &own)?;
    let mut config = ServerConfig::new(BASE_DOMAIN, "127.0.0.1:0");
    config.cluster(CLUSTER, &[&connector]);
    config.caller(CALLER, &[CLUSTER], &[&access]);
    config.write(&at("server.yaml"))?;
    let cluster = RawUpstream::bind().await?;
    std::fs::write(at("ca.crt"), environment.api_server().await?.ca_pem)?;
    Kubeconfig {
        server: &format!("http://{}", cluster.address),
        ca_file: &at("ca.crt"),
        credential: Credential::File(&at("sa-token")),
        proxy_url: None,
    }
    .write(&at("kubeconfig"))?;

    let spawner = Spawner::new()?;
    let start = |name: &'static str, arguments: Vec<String>| {
        let logging = ["--log-level", level, "--log-format", "text"].map(str::to_owned);
        let arguments = [arguments, logging.to_vec()].concat();
        spawner.spawn(&Program {
            name,
            binary: &culvert(name)?,
            arguments: &arguments,
            folder: folder.path(),
        })
    };
    let owned = |arguments: &[&str]| arguments.iter().map(|one| (*one).to_owned()).collect();
    let server = start(
        "tunnel-server",
        owned(&[
            "--config",
            "server.yaml",
            "--dev",
            "dev",
            "--audit-log",
            AUDIT_LOG,
        ]),
    )?;
    let address = printed(server.log(), "Listening on ").await?;
    let secret = format!("--secret-file={SECRET_FILE}");
    let flags = [
        "--kubeconfig",
        "kubeconfig",
        "--port",
        "0",
        "--admin-address",
        "127.0.0.1:0",
        &secret,
    ];
    let sidecar = start("proxy-sidecar", owned(&flags))?;
    let upstream = printed(sidecar.log(), "Starting to serve on ").await?;
    let mut flags = client_arguments(address, upstream);
    flags.push(format!("--sidecar-secret-file={SECRET_FILE}"));
    let client = start("tunnel-client", flags)?;
    canaries.add(
        "the sidecar's secret",
        std::fs::read_to_string(at(SECRET_FILE))?.trim().to_owned(),
    );

    let trusting = Arc::new(client_config(&at("dev/ca.crt"), &[b"http/1.1"])?);
    let connect = || async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(format!("{CLUSTER}.{BASE_DOMAIN}"))?;
        let stream = TlsConnector::from(trusting.clone())
            .connect(name, stream)
            .await?;
        anyhow::Ok::<Caller>(Connection::new(stream))
    };
    linked(&connect, &cluster, access.expose()).await?;
    let stranger = new_token(TokenKind::Connector);
    canaries.add("a stranger's token", stranger.expose().to_owned());
    let target = Target {
        token: access.expose(),
        connector: stranger.expose(),
    };
    let said = send_all(connect, &cluster, &target, &mut canaries).await?;
    canaries.must_not_be_in("an answer of the tunnel's own", &said)?;
    for process in [&server, &client, &sidecar] {
        process.terminate()?;
    }
    for mut process in [server, client, sidecar] {
        until("the end", SOON, || {
            let status = process.try_wait();
            async move { Ok(status?) }
        })
        .await?;
        let log = std::fs::read_to_string(process.log())?;
        canaries.must_not_be_in(&process.log().display().to_string(), &log)?;
    }
    // All of it, as the server has ended.
    let audited = std::fs::read_to_string(at(AUDIT_LOG))?;
    canaries.must_not_be_in("the audit log's file", &audited)?;
    let requests = audited.matches("\"event\":\"request\"").count();
    println!("{requests} lines of the audit log's file were searched");
    ensure!(requests > 15, "there is no audit log to search");
    Ok(())
}

/// The address in a line that is printed at the start.
async fn printed(log: &std::path::Path, before: &str) -> Result<std::net::SocketAddr> {
    until(before, SOON, || async {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let rest = text.split_once(before).map(|(_, rest)| rest);
        let word = rest
            .filter(|rest| rest.contains('\n'))
            .and_then(|rest| rest.split_whitespace().next());
        Ok(word.and_then(|word| word.parse().ok()))
    })
    .await
}

/// Calls until there is a link.
async fn linked<F>(connect: &impl Fn() -> F, cluster: &RawUpstream, token: &str) -> Result<()>
where
    F: Future<Output = Result<Caller>>,
{
    until("a link", SOON, || async {
        let mut caller = connect().await?;
        let head = format!(
            "GET /warm-up HTTP/1.1\r\nHost: {CLUSTER}.{BASE_DOMAIN}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        caller.send(head).await?;
        tokio::select! {
            answered = cluster.request() => {
                let (mut connection, _) = answered?;
                connection.send("HTTP/1.1 204 No\r\nConnection: close\r\n\r\n").await?;
                Ok(Some(()))
            }
            refused = caller.rest() => {
                refused?;
                Ok(None)
            }
        }
    })
    .await
}
