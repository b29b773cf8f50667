//! Which cluster proxy-sidecar calls, and as whom: a pod's service account, a
//! kubeconfig's context, a kubeconfig's impersonation.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::mounted::Mounted;
use integration::sidecar::Sidecar;
use integration::{suite, tests};
use serde_json::{Value, json};

fn main() -> ExitCode {
    suite::run(tests![
        a_pods_service_account,
        a_pod_without_a_ca,
        a_context_of_the_users_kubeconfig,
        a_kubeconfigs_impersonation,
        a_callers_impersonation,
        flags_above_a_kubeconfig,
        flags_without_a_kubeconfig,
    ])
}

/// Its files are where the kubelet puts them.
async fn a_pods_service_account(environment: Arc<Environment>) -> Result<()> {
    let api_server = environment.api_server().await?;
    let folder = tempfile::tempdir()?;
    let account = folder.path().join("account");
    // A line feed behind the token, as editors leave one, must not matter.
    let token = format!("{}\n", api_server.token);
    let files = [
        ("token", token.as_str()),
        ("ca.crt", &api_server.ca_pem),
        ("namespace", "culvert"),
    ];
    let _account = Mounted::new(account, &files)?;
    let sidecar = Sidecar::start_in_pod(folder, "account", &api_server.url, &[]).await?;
    ensure!(sidecar.who().await? == "system:serviceaccount:culvert:connector");
    let (status, namespaces) = sidecar.get("/api/v1/namespaces").await?;
    ensure!(
        status == 200 && namespaces["kind"] == "NamespaceList",
        "{status} {namespaces}"
    );
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

/// As client-go it says so, and trusts the system's certificates: the API server's is
/// none of those.
async fn a_pod_without_a_ca(environment: Arc<Environment>) -> Result<()> {
    let api_server = environment.api_server().await?;
    let folder = tempfile::tempdir()?;
    let token = [("token", api_server.token.as_str())];
    let _account = Mounted::new(folder.path().join("account"), &token)?;
    let sidecar = Sidecar::start_in_pod(folder, "account", &api_server.url, &[]).await?;
    let (status, answer) = sidecar.get("/api/v1/namespaces").await?;
    ensure!(status == 502, "{status} {answer}");
    let told = "the service account's CA cannot be read: the system's certificates are trusted \
                instead";
    ensure!(sidecar.said(told) == 1);
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

/// A kubeconfig whose current context leads nowhere, and a good one beside it.
async fn a_context_of_the_users_kubeconfig(environment: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut document = kubeconfig(&environment, folder.path()).await?;
    document["current-context"] = "elsewhere".into();
    let elsewhere = json!({ "name": "elsewhere", "cluster": { "server": "https://127.0.0.1:1" } });
    push(&mut document["clusters"], elsewhere)?;
    push(
        &mut document["contexts"],
        json!({ "name": "elsewhere", "context": { "cluster": "elsewhere", "user": "culvert" } }),
    )?;
    std::fs::write(folder.path().join("config"), document.to_string())?;
    let starters = ["KUBECONFIG=config"];
    let sidecar =
        Sidecar::start_by(folder, Path::new("env"), &starters, &["--context=culvert"]).await?;
    ensure!(sidecar.who().await? == "system:serviceaccount:culvert:connector");
    Ok(())
}

/// As kubectl: whoever impersonates somebody has that one's rights only.
async fn a_kubeconfigs_impersonation(environment: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut document = kubeconfig(&environment, folder.path()).await?;
    document["users"][0]["user"]["as"] = "somebody".into();
    document["users"][0]["user"]["as-groups"] = json!(["people", "visitors"]);
    std::fs::write(folder.path().join("config"), document.to_string())?;
    let own = ["--kubeconfig=config"];
    let sidecar = Sidecar::start(folder, &own).await?;
    ensure!(
        sidecar.who().await? == "somebody",
        "{}",
        sidecar.who().await?
    );
    let (status, answer) = sidecar.get("/api/v1/namespaces").await?;
    ensure!(status == 403, "{status} {answer}");

    // One that names nobody does not escape from it.
    let address = sidecar.address()?;
    let request = reqwest::Client::new().get(format!("http://{address}/api/v1/namespaces"));
    let answer = request.header("Impersonate-User", "").send().await?;
    ensure!(answer.status() == 403, "{}", answer.status());

    // A caller that impersonates replaces all of it.
    let address = sidecar.address()?;
    let request = reqwest::Client::new().get(format!("http://{address}/api/v1/namespaces"));
    let answer = request
        .header("Impersonate-User", "other")
        .send()
        .await?
        .text()
        .await?;
    ensure!(answer.contains("\\\"other\\\""), "{answer}");
    Ok(())
}

/// As kubectl proxy anybody's passes; with --require-own-credential only what comes
/// with the secret.
async fn a_callers_impersonation(environment: Arc<Environment>) -> Result<()> {
    const OWN: &str = "system:serviceaccount:culvert:connector";
    let flags = [
        "--kubeconfig=config",
        "--require-own-credential",
        "--secret-file=secret",
    ];
    for (own, expected) in [
        (&flags[..1], "somebody"),
        (&flags[..2], OWN),
        (&flags[..], "somebody"),
    ] {
        let folder = tempfile::tempdir()?;
        let document = kubeconfig(&environment, folder.path()).await?;
        std::fs::write(folder.path().join("config"), document.to_string())?;
        let sidecar = Sidecar::start(folder, own).await?;
        let secret = std::fs::read_to_string(sidecar.folder().join("secret"));
        let mut headers = vec![("Impersonate-User", "somebody")];
        if let Ok(secret) = &secret {
            environment
                .secrets
                .add("the sidecar's secret", secret.trim());
            headers.push(("Culvert-Sidecar-Secret", secret.trim()));
        }
        let who = sidecar.who_with(&headers).await?;
        ensure!(who == expected, "{own:?}: {who}");
        environment.secrets.must_not_be_in_file(&sidecar.log())?;
    }
    Ok(())
}

/// Its server, its trust and its credential lead nowhere; and a user in the server's URL
/// is not used, nor told.
async fn flags_above_a_kubeconfig(environment: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut document = kubeconfig(&environment, folder.path()).await?;
    let server = document["clusters"][0]["cluster"]["server"].take();
    let token = document["users"][0]["user"]["token"].take();
    let cluster = json!({
        "server": "https://127.0.0.1:1",
        "tls-server-name": "elsewhere",
        "insecure-skip-tls-verify": true,
    });
    document["clusters"][0]["cluster"] = cluster;
    document["users"][0]["user"] = json!({ "username": "nobody", "password": "no-password" });
    std::fs::write(folder.path().join("config"), document.to_string())?;
    let server = server.as_str().context("no server")?;
    let server = server.replacen("://", "://me:the-urls-password@", 1);
    let server = format!("--server={server}");
    let token = format!("--token={}", token.as_str().context("no token")?);
    let own = [
        "--kubeconfig=config",
        &server,
        "--certificate-authority=ca.crt",
        &token,
    ];
    let sidecar = Sidecar::start(folder, &own).await?;
    ensure!(sidecar.who().await? == "system:serviceaccount:culvert:connector");
    let log = std::fs::read_to_string(sidecar.log())?;
    ensure!(!log.contains("the-urls-password"), "{log}");
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

/// A server and a credential are all that is needed; and whom to be.
async fn flags_without_a_kubeconfig(environment: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let api_server = environment.api_server().await?;
    let server = format!("--server={}", api_server.url);
    let token = format!("--token={}", api_server.token);
    let own = [
        &server,
        "--insecure-skip-tls-verify",
        &token,
        "--as=somebody",
        "--as-group=people",
        "--as-group=visitors",
        "--as-uid=7",
    ];
    let starters = ["--unset=KUBECONFIG", "HOME=/nowhere"];
    let sidecar = Sidecar::start_by(folder, Path::new("env"), &starters, &own).await?;
    ensure!(sidecar.who().await? == "somebody");
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

async fn kubeconfig(environment: &Environment, folder: &Path) -> Result<Value> {
    let api_server = environment.api_server().await?;
    let ca_file = folder.join("ca.crt");
    std::fs::write(&ca_file, &api_server.ca_pem)?;
    let credential = Credential::Token(&api_server.token);
    Ok(Kubeconfig {
        server: &api_server.url,
        ca_file: &ca_file,
        credential,
        proxy_url: None,
    }
    .document())
}

fn push(list: &mut Value, item: Value) -> Result<()> {
    list.as_array_mut().context("not a list")?.push(item);
    Ok(())
}
