//! Starts the control plane for real.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach their helpers"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use local_kubernetes::{Binaries, ControlPlane, Options, ServingCertificate, Subject};

/// For what happens in milliseconds when it works.
const DEADLINE: Duration = Duration::from_secs(30);

async fn start(options: Options) -> ControlPlane {
    let binaries = Binaries::obtain(&local_kubernetes::to_stderr).unwrap();
    let started = Instant::now();
    let kubernetes = ControlPlane::start(&binaries, options).await.unwrap();
    println!("ready after {} ms", started.elapsed().as_millis());
    kubernetes
}

/// Runs kubectl with the rights of `token`.
fn kubectl(kubernetes: &ControlPlane, token: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    kubernetes.kubeconfig_for(token, &kubeconfig).unwrap();
    Command::new(kubernetes.kubectl())
        .env("KUBECONFIG", &kubeconfig)
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn admin(kubernetes: &ControlPlane, arguments: &[&str]) -> String {
    stdout(
        &kubernetes
            .kubectl_command()
            .args(arguments)
            .output()
            .unwrap(),
    )
}

#[tokio::test]
async fn the_administrator_uses_kubectl() {
    let kubernetes = start(Options::default()).await;
    let names = admin(&kubernetes, &["get", "namespaces", "-o", "name"]);
    assert!(names.contains("namespace/default"), "{names}");
    let version = admin(&kubernetes, &["version", "-o", "json"]);
    assert_eq!(
        version.matches(r#""gitVersion": "v1.36.3""#).count(),
        2,
        "{version}"
    );
    let metrics = kubernetes.metrics().await.unwrap();
    assert!(metrics.contains("apiserver_request_total"));
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says() {
    let kubernetes = start(Options::default()).await;
    kubernetes.create_namespace("team").await.unwrap();
    let token = kubernetes
        .service_account_token("team", "tester")
        .await
        .unwrap();

    let denied = kubectl(&kubernetes, &token, &["get", "nodes"]);
    let error = String::from_utf8_lossy(&denied.stderr);
    assert!(error.contains("(Forbidden)"), "{error}");
    assert!(
        error.contains("system:serviceaccount:team:tester"),
        "{error}"
    );

    let tester = Subject::ServiceAccount {
        namespace: "team",
        name: "tester",
    };
    kubernetes
        .bind_cluster_role("system:node-proxier", tester)
        .await
        .unwrap();
    stdout(&kubectl(&kubernetes, &token, &["get", "nodes"]));

    let still_denied = kubectl(&kubernetes, &token, &["get", "secrets"]);
    assert!(!still_denied.status.success());
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn a_role_without_rules_is_told() {
    let kubernetes = start(Options::default()).await;
    let error = kubernetes
        .bind_cluster_role("view", Subject::User("jane"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the cluster role view has no rules");
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn requests_are_audited() {
    let kubernetes = start(Options::default()).await;
    admin(&kubernetes, &["get", "configmaps", "--namespace=audited"]);
    let log = std::fs::read_to_string(kubernetes.audit_log()).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("/namespaces/audited/configmaps"))
        .unwrap();
    assert!(line.contains(r#""username":"admin""#), "{line}");
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn lifetimes_of_tokens_and_watches_are_set() {
    let kubernetes = start(Options {
        service_account_max_token_expiration: Some(Duration::from_secs(3600)),
        min_request_timeout: Some(Duration::from_secs(1)),
        ..Options::default()
    })
    .await;
    let token = kubernetes
        .service_account_token_for("default", "tester", Duration::from_secs(7200))
        .await
        .unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );

    let path = "/api/v1/configmaps?watch=true";
    let started = Instant::now();
    admin(&kubernetes, &["get", "--raw", path]);
    // The server ends it after one to two times the setting.
    assert!(started.elapsed() < DEADLINE);
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn old_resource_versions_are_gone_after_a_compaction() {
    let kubernetes = start(Options {
        api_server_arguments: vec!["--watch-cache=false".to_owned()],
        ..Options::default()
    })
    .await;
    let old = config_map(&kubernetes, "settings");
    let oldest_known = kubernetes.compact_etcd().await.unwrap();
    assert!(old < oldest_known);
    assert_gone(&kubernetes, old);
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_watch_cache_remembers_is_gone_after_a_restart() {
    let kubernetes = start(Options::default()).await;
    let old = config_map(&kubernetes, "settings");
    config_map(&kubernetes, "more");
    kubernetes.compact_etcd().await.unwrap();
    let events = watch(&kubernetes, old);
    assert!(events.contains(r#""name":"more""#), "{events}");

    kubernetes.restart_api_server().await.unwrap();
    assert_gone(&kubernetes, old);
    kubernetes.stop().await.unwrap();
}

/// Creates a ConfigMap and returns its resource version.
fn config_map(kubernetes: &ControlPlane, name: &str) -> u64 {
    let version = "jsonpath={.metadata.resourceVersion}";
    let created = admin(kubernetes, &["create", "configmap", name, "-o", version]);
    created.parse().unwrap()
}

/// What a watch of one second from `version` on brings.
fn watch(kubernetes: &ControlPlane, version: u64) -> String {
    let path = format!("/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion={version}");
    admin(kubernetes, &["get", "--raw", &path])
}

fn assert_gone(kubernetes: &ControlPlane, version: u64) {
    let events = watch(kubernetes, version);
    assert!(events.contains(r#""code":410"#), "{events}");

    let path = format!("/api/v1/configmaps?resourceVersionMatch=Exact&resourceVersion={version}");
    let list = kubernetes
        .kubectl_command()
        .args(["get", "--raw", &path])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&list.stderr);
    assert!(error.contains("(Expired)"), "{error}");
}

#[tokio::test]
async fn a_killed_api_server_comes_back_on_its_port_with_its_data() {
    let kubernetes = start(Options::default()).await;
    let token = kubernetes
        .service_account_token("default", "tester")
        .await
        .unwrap();
    kubernetes.kill_api_server().unwrap();
    let address = kubernetes.url().strip_prefix("https://").unwrap();
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    let started = Instant::now();
    kubernetes.restart_api_server().await.unwrap();
    println!("ready again after {} ms", started.elapsed().as_millis());
    let who = stdout(&kubectl(&kubernetes, &token, &["auth", "whoami"]));
    assert!(
        who.contains("system:serviceaccount:default:tester"),
        "{who}"
    );
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_and_a_token_end_as_they_should() {
    let kubernetes = start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let jane = kubernetes.client_certificate("jane", "people").unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let flags = [
        format!("--server={}", kubernetes.url()),
        format!(
            "--certificate-authority={}",
            file("ca.crt", kubernetes.ca_pem())
        ),
        format!(
            "--client-certificate={}",
            file("jane.crt", &jane.certificate)
        ),
        format!("--client-key={}", file("jane.key", &jane.key)),
    ];
    let who = Command::new(kubernetes.kubectl())
        .env("KUBECONFIG", "/dev/null")
        .args(&flags)
        .args(["auth", "whoami"])
        .output()
        .unwrap();
    let who = stdout(&who);
    assert!(who.contains("jane") && who.contains("people"), "{who}");

    let token = kubernetes
        .service_account_token("default", "tester")
        .await
        .unwrap();
    let later = kubernetes.expiring_token(&token, DEADLINE).unwrap();
    stdout(&kubectl(&kubernetes, &later, &["auth", "whoami"]));
    let expired = kubernetes.expiring_token(&token, Duration::ZERO).unwrap();
    let refused = kubectl(&kubernetes, &expired, &["auth", "whoami"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("Unauthorized"), "{error}");
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn its_certificate_and_its_ca_change() {
    let mut kubernetes = start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("kubeconfig");
    let token = kubernetes.admin_token().to_owned();
    kubernetes.kubeconfig_for(&token, &before).unwrap();
    let version = |kubernetes: &ControlPlane| {
        Command::new(kubernetes.kubectl())
            .env("KUBECONFIG", &before)
            .args(["get", "--raw", "/version"])
            .output()
            .unwrap()
    };
    kubernetes.restart_with_new_certificate().await.unwrap();
    stdout(&version(&kubernetes));
    kubernetes.restart_with_new_ca().await.unwrap();
    let refused = version(&kubernetes);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("unknown authority"), "{error}");
    admin(&kubernetes, &["get", "--raw", "/version"]);
    kubernetes.stop().await.unwrap();
}

#[tokio::test]
async fn certificates_without_a_ca_of_their_own() {
    for serving_certificate in [ServingCertificate::SelfMade, ServingCertificate::OwnCa] {
        let options = Options {
            serving_certificate,
            ..Options::default()
        };
        let kubernetes = start(options).await;
        // Go takes both, with what `ca_pem` gives.
        admin(&kubernetes, &["get", "--raw", "/version"]);
        kubernetes.restart_api_server().await.unwrap();
        admin(&kubernetes, &["get", "--raw", "/version"]);
        kubernetes.stop().await.unwrap();
    }
}

#[tokio::test]
async fn two_run_at_once_and_stop_leaves_nothing() {
    let (one, two) = tokio::join!(start(Options::default()), start(Options::default()));
    assert_ne!(one.url(), two.url());
    assert_ne!(one.admin_token(), two.admin_token());

    let folder = one.data_folder().to_owned();
    let connections = Connections::open(one.url(), &folder);
    one.stop().await.unwrap();
    connections.end();
    assert!(!folder.exists());
    admin(&two, &["get", "namespaces"]);

    let folder = two.data_folder().to_owned();
    let connections = Connections::open(two.url(), &folder);
    drop(two);
    connections.end();
    assert!(!folder.exists());
}

#[tokio::test]
async fn an_argument_that_is_refused_is_told_with_the_log() {
    let binaries = Binaries::obtain(&local_kubernetes::to_stderr).unwrap();
    let options = Options {
        api_server_arguments: vec!["--no-such-flag".to_owned()],
        ..Options::default()
    };
    let Err(error) = ControlPlane::start(&binaries, options).await else {
        panic!("it has started");
    };
    let error = format!("{error:#}");
    assert!(error.starts_with("kube-apiserver has ended"), "{error}");
    assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
}

/// Not a test of its own: the program that the next test kills.
#[tokio::test]
#[ignore = "runs as a part of another test"]
async fn a_program_that_waits_to_be_killed() {
    let kubernetes = start(Options::default()).await;
    println!(
        "started {} {}",
        kubernetes.url(),
        kubernetes.data_folder().display()
    );
    std::future::pending::<()>().await;
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_program_leaves_nothing_running() {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("a_program_that_waits_to_be_killed")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started = BufReader::new(program.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap())
        .find_map(|line| line.strip_prefix("started ").map(str::to_owned))
        .unwrap();
    let (url, folder) = started.split_once(' ').unwrap();
    let folder = PathBuf::from(folder);
    let connections = Connections::open(url, &folder);

    program.kill().unwrap();
    program.wait().unwrap();

    connections.end();
    std::fs::remove_dir_all(folder).unwrap();
}

/// Connections to both processes: the kernel ends them with the processes.
struct Connections {
    api_server: TcpStream,
    etcd: UnixStream,
}

impl Connections {
    fn open(url: &str, folder: &Path) -> Self {
        let api_server = TcpStream::connect(url.strip_prefix("https://").unwrap()).unwrap();
        let etcd = UnixStream::connect(folder.join("etcd:0")).unwrap();
        api_server.set_read_timeout(Some(DEADLINE)).unwrap();
        etcd.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { api_server, etcd }
    }

    /// Waits until both have ended; fails if they go on.
    fn end(mut self) {
        ends("kube-apiserver", &mut self.api_server);
        ends("etcd", &mut self.etcd);
    }
}

fn ends(name: &str, connection: &mut impl Read) {
    let mut rest = Vec::new();
    if let Err(error) = connection.read_to_end(&mut rest) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "{name} is still there: {error}"
        );
    }
}
