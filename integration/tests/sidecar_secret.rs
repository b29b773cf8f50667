//! The secret on proxy-sidecar's port: whoever does not have it learns nothing
//! there, tunnel-client has it whatever the order of starts, and callers neither
//! see nor choose it. And no other process of the same user reads it from memory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::binaries::culvert;
use integration::chain::{Chain, ChainOptions, SOON, client_arguments};
use integration::environment::Environment;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::played_cluster::{self, OWN_TOKEN};
use integration::raw_http::Connection;
use integration::service::Service;
use integration::wait::until;
use integration::{suite, tests};
use local_kubernetes::process::Spawner;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tunnel_protocol::token::{Token, TokenKind};

const HEADER: &str = "culvert-sidecar-secret";
const FILE: &str = "sidecar-secret";
const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket";
/// Anybody's that is not root's.
const USER: &str = "12345";

fn main() -> ExitCode {
    suite::run(tests![
        strangers_learn_nothing,
        a_caller_that_has_ended_hears_the_answer_at_hand,
        it_never_leaves_the_pod,
        without_it_nobody_says_who_they_are,
        a_client_waits_for_the_secret,
        a_new_secret_is_taken_over,
        a_restarted_sidecar_keeps_the_secret,
        a_client_without_the_flag_says_so,
        a_sidecar_that_hangs_is_not_ready,
        a_file_that_cannot_be_is_told,
        no_process_of_the_same_user_reads_their_memory,
    ])
}

fn with_secret() -> (Vec<String>, Vec<String>) {
    let flag = |name: &str| vec![format!("--{name}={FILE}")];
    (flag("secret-file"), flag("sidecar-secret-file"))
}

fn options() -> ChainOptions {
    let (sidecar_arguments, client_arguments) = with_secret();
    ChainOptions {
        sidecar_arguments,
        client_arguments,
        ..ChainOptions::bare()
    }
}

async fn chain(environment: &Environment) -> Result<Chain> {
    let options = ChainOptions {
        api_server: Some(environment.api_server().await?),
        ..options()
    };
    let chain = environment.chain_with(options).await?;
    secret(environment, &chain)?;
    Ok(chain)
}

fn file(chain: &Chain) -> PathBuf {
    chain.folder().join(FILE)
}

/// What the sidecar wrote; from now on it is searched for.
fn secret(environment: &Environment, chain: &Chain) -> Result<Token> {
    let text = std::fs::read_to_string(file(chain))?;
    let secret = Token::parse(TokenKind::Sidecar, &text)?;
    environment
        .secrets
        .add("the sidecar's secret", secret.expose());
    Ok(secret)
}

async fn readiness(client: &Service, ready: bool, says: &str) -> Result<()> {
    until(&format!("readiness {ready} {says:?}"), SOON, || async {
        let (status, text) = client.admin_page("/readyz").await?;
        Ok(((status == 200) == ready && text.contains(says)).then_some(()))
    })
    .await
}

/// Whether it is the sidecar's refusal, as a `Status` that names the flag.
async fn must_be_refused(answer: Response, case: &str) -> Result<()> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    ensure!(status == StatusCode::UNAUTHORIZED, "{case}: {status}");
    ensure!(
        headers.get("culvert-error").context("no code")? == "sidecar-secret",
        "{case}"
    );
    let body: Value = answer.json().await?;
    let message = body["message"].as_str().unwrap_or_default();
    ensure!(body["kind"] == "Status" && message.contains("--secret-file"));
    Ok(())
}

/// Not even what the filter would say.
async fn strangers_learn_nothing(environment: Arc<Environment>) -> Result<()> {
    let chain = chain(&environment).await?;
    let url = format!("http://{}", chain.upstream()?);
    let own = secret(&environment, &chain)?;
    let other = Token::from_random(TokenKind::Sidecar, &[1; 32]);
    let exec = "/api/v1/namespaces/default/pods/x/exec";
    let http = Client::new();
    let asks: [&(dyn Fn() -> RequestBuilder + Sync); 5] = [
        &|| http.get(format!("{url}/api/v1/namespaces")),
        &|| http.post(format!("{url}{exec}")),
        &|| http.get(&url).header("host", "evil.example.com"),
        // Malformed, if it came that far.
        &|| {
            http.get(&url)
                .header("connection", "upgrade")
                .header("upgrade", "h2c")
        },
        &|| {
            http.get(format!("{url}/api/v1/namespaces?watch=1"))
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
        },
    ];
    for (case, ask) in asks.into_iter().enumerate() {
        let cases = [
            ("none", ask()),
            ("empty", ask().header(HEADER, "")),
            ("another", ask().header(HEADER, other.expose())),
            (
                "cut",
                ask().header(HEADER, &own.expose()[..own.expose().len() - 1]),
            ),
            (
                "two",
                ask()
                    .header(HEADER, own.expose())
                    .header(HEADER, other.expose()),
            ),
            ("as a bearer token", ask().bearer_auth(own.expose())),
        ];
        for (kind, request) in cases {
            must_be_refused(request.send().await?, &format!("{case} {kind}")).await?;
        }
        let answer = ask().header(HEADER, own.expose()).send().await?;
        ensure!(
            answer.status() != StatusCode::UNAUTHORIZED,
            "{case}: refused"
        );
    }
    let sidecar = chain.sidecar.as_ref().context("no sidecar")?;
    for page in ["/livez", "/readyz", "/metrics"] {
        ensure!(sidecar.admin_page(page).await?.0 == 200, "{page}");
    }
    let unproved = sidecar
        .metric("proxy_sidecar_requests_total{outcome=\"unproved\"}")
        .await?;
    ensure!(unproved == Some(30.0), "{unproved:?}");
    chain.stop().await
}

/// Requests and upgrades pass with it, whatever a caller sends; the API server
/// does not get it, the caller neither.
/// As `nc` does behind what it is given. Of several connections each thread has some.
async fn a_caller_that_has_ended_hears_the_answer_at_hand(
    environment: Arc<Environment>,
) -> Result<()> {
    let chain = chain(&environment).await?;
    let address = chain.upstream()?.to_string();
    for number in 0..100 {
        let mut stream = TcpStream::connect(&address).await?;
        stream
            .write_all(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await?;
        stream.shutdown().await?;
        let mut heard = String::new();
        timeout(SOON, stream.read_to_string(&mut heard)).await??;
        ensure!(
            heard.starts_with("HTTP/1.1 401 "),
            "connection {number}: {heard:?}"
        );
    }
    chain.stop().await
}

async fn it_never_leaves_the_pod(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = played_cluster::start(&environment, options()).await?;
    let own = secret(&environment, &chain)?;
    readiness(&chain.client, true, "ok").await?;
    let forged = Token::from_random(TokenKind::Sidecar, &[1; 32]);
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    for lines in [
        String::new(),
        format!("{HEADER}: {}\r\n", forged.expose()),
        format!("Connection: {HEADER}\r\n"),
        upgrade.to_owned(),
        format!("{upgrade}{HEADER}: {}\r\n", forged.expose()),
    ] {
        let mut caller = chain.raw_caller().await?;
        let head = chain.raw_head(false, "GET", "/api", &lines);
        caller.send(head).await?;
        let (mut connection, seen) = cluster.request().await?;
        ensure!(!seen.to_ascii_lowercase().contains("culvert-"), "{lines}");
        let answer = if lines.contains("Upgrade:") {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        };
        connection.send(answer).await?;
        let got = caller.head().await?;
        ensure!(got.starts_with(&answer[..12]), "{lines}: {got}");
        ensure!(!got.contains(own.expose()), "{lines}");
    }
    chain.stop().await
}

/// With --require-own-credential: a role that may impersonate is not for whoever
/// reaches the port. What tunnel-client sends is the server's word.
async fn without_it_nobody_says_who_they_are(environment: Arc<Environment>) -> Result<()> {
    for with_secret in [false, true] {
        let mut options = match with_secret {
            true => options(),
            false => ChainOptions::bare(),
        };
        let flag = "--require-own-credential".to_owned();
        options.sidecar_arguments.push(flag);
        let (chain, cluster) = played_cluster::start(&environment, options).await?;
        let proof = match with_secret {
            true => format!("{HEADER}: {}\r\n", secret(&environment, &chain)?.expose()),
            false => String::new(),
        };
        for connection in ["Connection: Impersonate-User", UPGRADE] {
            let mut caller = Connection::new(TcpStream::connect(chain.upstream()?).await?);
            caller
                .send(format!(
                    "GET /api HTTP/1.1\r\nHost: localhost\r\nImpersonate-Uid: a\r\n\
                     IMPERSONATE-GROUP: b\r\nimpersonate-extra-c%2fd: e\r\nX-Remote-User: f\r\n\
                     Accept: g\r\n{proof}{connection}\r\n\r\n"
                ))
                .await?;
            let (mut asked, head) = cluster.request().await?;
            let head = head.to_ascii_lowercase();
            for (line, passes) in [
                ("impersonate-uid: a", with_secret),
                ("impersonate-group: b", with_secret),
                ("impersonate-extra-c%2fd: e", with_secret),
                ("x-remote-user", false),
                ("accept: g", true),
                (&format!("authorization: bearer {OWN_TOKEN}"), true),
            ] {
                ensure!(
                    head.contains(line) == passes,
                    "{with_secret}, {line}: {head}"
                );
            }
            asked
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
            ensure!(caller.head().await?.starts_with("HTTP/1.1 200"));
        }
        chain.stop().await?;
    }
    Ok(())
}

async fn a_client_waits_for_the_secret(environment: Arc<Environment>) -> Result<()> {
    let mut chain = chain(&environment).await?;
    std::fs::remove_file(file(&chain))?;
    chain.restart_client().await?;
    readiness(&chain.client, false, "--sidecar-secret-file").await?;
    for content in ["", "half"] {
        std::fs::write(file(&chain), content)?;
        readiness(&chain.client, false, "--sidecar-secret-file").await?;
    }
    ensure!(chain.client.admin_page("/livez").await?.0 == 200);
    let linked = "tunnel_client_attempts_total{outcome=\"linked\"}";
    let linked = chain.client.metric(linked).await?;
    ensure!(
        linked.unwrap_or_default() == 0.0,
        "it linked although it can carry nothing"
    );
    chain.restart_sidecar().await?;
    secret(&environment, &chain)?;
    chain.linked().await?;
    readiness(&chain.client, true, "ok").await?;
    the_cluster_answers(&chain).await?;
    chain.stop().await
}

async fn the_cluster_answers(chain: &Chain) -> Result<()> {
    let answer = chain
        .caller()?
        .get(chain.url_by_host() + "/api")
        .send()
        .await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(())
}

/// In between callers get a 502 that says why, never a 401.
async fn a_new_secret_is_taken_over(environment: Arc<Environment>) -> Result<()> {
    let mut chain = chain(&environment).await?;
    readiness(&chain.client, true, "ok").await?;
    let before = secret(&environment, &chain)?;
    let kept = std::fs::read(file(&chain))?;
    std::fs::remove_file(file(&chain))?;
    chain.restart_sidecar().await?;
    let after = secret(&environment, &chain)?;
    ensure!(before.hash() != after.hash());
    let (caller, url) = (chain.caller()?, chain.url_by_host() + "/api");
    until("an answer of the cluster's", SOON, || async {
        let answer = caller.get(&url).send().await?;
        if answer.status() == 200 {
            return Ok(Some(()));
        }
        let code = answer.headers().get("culvert-error").context("no code")?;
        let (status, code) = (answer.status(), code.to_str()?);
        ensure!(
            status == 502 && code.starts_with("sidecar-"),
            "{status} {code}"
        );
        Ok(None)
    })
    .await?;

    // The other way round: the file says something that the sidecar does not know.
    let wrong = chain.folder().join("wrong");
    std::fs::write(&wrong, kept)?;
    std::fs::rename(&wrong, file(&chain))?;
    readiness(&chain.client, false, "--sidecar-secret-file").await?;
    let answer = caller.get(&url).send().await?;
    ensure!(answer.status() == 502, "{}", answer.status());
    ensure!(answer.headers()["culvert-error"] == "sidecar-secret");
    let said = answer.text().await?;
    ensure!(said.contains("--sidecar-secret-file"), "{said}");
    chain.stop().await
}

async fn a_restarted_sidecar_keeps_the_secret(environment: Arc<Environment>) -> Result<()> {
    let mut chain = chain(&environment).await?;
    let before = secret(&environment, &chain)?;
    chain.restart_sidecar().await?;
    ensure!(before.hash() == secret(&environment, &chain)?.hash());
    the_cluster_answers(&chain).await?;
    chain.stop().await
}

async fn a_client_without_the_flag_says_so(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions {
        api_server: Some(environment.api_server().await?),
        client_arguments: Vec::new(),
        ..options()
    };
    let chain = environment.chain_with(options).await?;
    secret(&environment, &chain)?;
    readiness(&chain.client, false, "--sidecar-secret-file").await?;
    let answer = chain.caller()?.get(chain.url_by_host()).send().await?;
    ensure!(answer.status() == 502, "{}", answer.status());
    ensure!(answer.headers()["culvert-error"] == "sidecar-secret");
    chain.stop().await
}

/// Its port still takes connections.
async fn a_sidecar_that_hangs_is_not_ready(environment: Arc<Environment>) -> Result<()> {
    let chain = chain(&environment).await?;
    readiness(&chain.client, true, "ok").await?;
    let id = chain
        .sidecar
        .as_ref()
        .context("no sidecar")?
        .id()
        .to_string();
    let signal = async |name: &str| {
        let mut sent = tokio::process::Command::new("kill");
        let sent = sent.args([name, &id]).status().await?;
        ensure!(sent.success(), "kill {name}: {sent}");
        Ok(())
    };
    signal("-STOP").await?;
    readiness(&chain.client, false, "does not answer").await?;
    signal("-CONT").await?;
    readiness(&chain.client, true, "ok").await?;
    chain.stop().await
}

async fn a_file_that_cannot_be_is_told(environment: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kubeconfig = kubeconfig(&environment, folder.path()).await?;
    std::fs::create_dir(folder.path().join("folder"))?;
    for wrong in ["nowhere/secret", "folder", "/proc/nothing/here"] {
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            "--port=0".into(),
            "--admin-address=127.0.0.1:0".into(),
            format!("--secret-file={wrong}"),
        ];
        let (code, said) =
            Service::run_to_end(&Spawner::new()?, "proxy-sidecar", &arguments, folder.path())
                .await?;
        ensure!(code == Some(1), "{wrong}: {code:?}");
        let line = format!("Error: --secret-file {wrong}: ");
        ensure!(
            said.contains(&line) && said.contains("memory volume"),
            "{said}"
        );
    }
    Ok(())
}

async fn kubeconfig(environment: &Environment, folder: &Path) -> Result<PathBuf> {
    let api_server = environment.api_server().await?;
    let (path, ca_file) = (folder.join("config"), folder.join("ca.crt"));
    std::fs::write(&ca_file, &api_server.ca_pem)?;
    Kubeconfig {
        server: &api_server.url,
        ca_file: &ca_file,
        credential: Credential::Token(OWN_TOKEN),
        proxy_url: None,
    }
    .write(&path)?;
    Ok(path)
}

/// As a debug container does that shares the pod's processes. Root always can.
async fn no_process_of_the_same_user_reads_their_memory(
    environment: Arc<Environment>,
) -> Result<()> {
    let chain = chain(&environment).await?;
    let folder = users_folder(&environment, &chain).await?;
    let spawner = Spawner::new()?;
    let (sidecar, client) = with_secret();
    let fixed = ["--admin-address=127.0.0.1:0".to_owned()];
    let kubeconfig = ["--kubeconfig=config", "--port=0"].map(str::to_owned);
    let sidecar = [&kubeconfig[..], &sidecar, &fixed].concat();
    let client = [
        &client_arguments(chain.server_address, chain.upstream()?)[..],
        &client,
    ]
    .concat();
    for (name, arguments) in [("proxy-sidecar", sidecar), ("tunnel-client", client)] {
        let arguments = as_user(&folder.path().join(name).display().to_string(), arguments);
        let setpriv = Path::new("setpriv");
        let service =
            Service::start_binary(&spawner, name, setpriv, "info", &arguments, folder.path())
                .await?;
        for what in ["environ", "maps", "root/etc/hostname", "fd", "cwd/"] {
            let read = |id: u32| read_as_user(format!("/proc/{id}/{what}"));
            ensure!(!read(service.id()).await?, "{name}: {what} can be read");
        }
        // It works all the same, its metrics included.
        ensure!(service.admin_page("/metrics").await?.0 == 200);
        environment.secrets.must_not_be_in_file(&service.log())?;
    }
    // What was tried works on another process of that user.
    let mut sleep = tokio::process::Command::new("setpriv");
    let mut sleep = sleep
        .args(as_user("sleep", vec!["60".to_owned()]))
        .kill_on_drop(true)
        .spawn()?;
    let id = sleep.id().context("it ended")?;
    until("a readable process", SOON, || async {
        Ok(read_as_user(format!("/proc/{id}/environ"))
            .await?
            .then_some(()))
    })
    .await?;
    for what in ["maps", "root/etc/hostname", "fd", "cwd/"] {
        ensure!(read_as_user(format!("/proc/{id}/{what}")).await?, "{what}");
    }
    sleep.kill().await?;
    chain.stop().await
}

/// The binaries and what they read, as [`USER`]'s.
async fn users_folder(environment: &Environment, chain: &Chain) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    kubeconfig(environment, folder.path()).await?;
    std::fs::create_dir(at("dev"))?;
    for (from, to) in [
        (culvert("proxy-sidecar")?, at("proxy-sidecar")),
        (culvert("tunnel-client")?, at("tunnel-client")),
        (chain.ca_file(), at("dev/ca.crt")),
        (
            chain.folder().join("connector-token"),
            at("connector-token"),
        ),
    ] {
        std::fs::copy(from, to)?;
    }
    let owner = tokio::process::Command::new("chown")
        .args(["-R", USER])
        .arg(folder.path())
        .status()
        .await?;
    ensure!(owner.success());
    Ok(folder)
}

fn as_user(program: &str, arguments: Vec<String>) -> Vec<String> {
    let fixed = [
        &format!("--reuid={USER}"),
        &format!("--regid={USER}"),
        "--clear-groups",
        program,
    ];
    fixed
        .map(str::to_owned)
        .into_iter()
        .chain(arguments)
        .collect()
}

/// Whether [`USER`] can read a file or list a folder. That of `/proc/ID/mem` is
/// the same right as that of `maps`.
async fn read_as_user(path: String) -> Result<bool> {
    let script = "if [ -d \"$0\" ]; then ls \"$0\"; else head -c 1 \"$0\"; fi >/dev/null 2>&1";
    let arguments = as_user("sh", vec!["-c".into(), script.into(), path]);
    let status = tokio::process::Command::new("setpriv")
        .args(arguments)
        .status()
        .await?;
    Ok(status.success())
}
