//! The examples, each as its users run it, against the whole chain.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::Chain;
use integration::environment::Environment;
use integration::{binaries, python, server_config, suite, tests};
use tokio::process::Command;
use tunnel_protocol::token::TokenKind;

fn main() -> ExitCode {
    suite::run(tests![
        kube_client,
        reqwest,
        python,
        curl,
        the_readmes_kubeconfig
    ])
}

/// A file of the examples' folder.
fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(path)
}

/// Runs an example as the caller that `token` says.
async fn run(chain: &Chain, command: &mut Command, url: &str, token: &str) -> Result<Output> {
    let token_file = chain.folder().join("access-token");
    std::fs::write(&token_file, format!("{token}\n"))?;
    let output = command
        .env("CULVERT_URL", url)
        .env("CULVERT_CA_FILE", chain.ca_file())
        .env("CULVERT_TOKEN_FILE", &token_file)
        // No DNS knows the hostnames.
        .env("HTTPS_PROXY", chain.connect_proxy())
        .env_remove("https_proxy")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .await?;
    Ok(output)
}

/// By hostname and by path it lists the namespaces; with a token that nobody
/// knows it fails, and says what the tunnel said.
async fn lists_namespaces(chain: &Chain, mut command: impl FnMut() -> Command) -> Result<()> {
    for url in [chain.url_by_host(), chain.url_by_path()] {
        let output = run(chain, &mut command(), &url, chain.access_token.expose()).await?;
        let (out, err) = texts(&output);
        ensure!(output.status.success(), "{url}: {err}");
        ensure!(out.contains("kube-system"), "{url}: {out}");
    }
    let stranger = server_config::new_token(TokenKind::Access);
    let url = chain.url_by_host();
    let output = run(chain, &mut command(), &url, stranger.expose()).await?;
    let (out, err) = texts(&output);
    ensure!(!output.status.success(), "a stranger was let in: {out}");
    let said = format!("{out}{err}");
    ensure!(
        said.contains("tunnel-server: "),
        "a stranger was told {said}"
    );
    ensure!(!said.contains(stranger.expose()), "the token was printed");
    Ok(())
}

fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

async fn kube_client(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let binary = binaries::culvert("example-kube-client")?;
    lists_namespaces(&chain, || Command::new(&binary)).await?;
    chain.stop().await
}

async fn reqwest(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let binary = binaries::culvert("example-reqwest")?;
    lists_namespaces(&chain, || Command::new(&binary)).await?;
    chain.stop().await
}

async fn python(environment: Arc<Environment>) -> Result<()> {
    let interpreter = python::with_requirements(example("python/requirements.txt")).await?;
    let chain = environment.chain().await?;
    lists_namespaces(&chain, || {
        let mut command = Command::new(&interpreter);
        command.arg(example("python/list_namespaces.py"));
        command
    })
    .await?;
    chain.stop().await
}

async fn curl(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let tools = chain.folder().join("tools");
    let arguments = tools.join("arguments");
    noting_curl(&tools, &arguments)?;
    let path = format!(
        "{}:{}",
        tools.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    lists_namespaces(&chain, || {
        let mut command = Command::new(example("curl.sh"));
        command.env("PATH", &path);
        command
    })
    .await?;
    let arguments = std::fs::read_to_string(arguments)?;
    ensure!(arguments.contains(&chain.host()), "noted: {arguments}");
    environment
        .secrets
        .must_not_be_in("the arguments of curl", &arguments)?;
    chain.stop().await
}

/// A curl that notes its arguments, as `ps` would show them, and then is curl.
fn noting_curl(folder: &Path, arguments: &Path) -> Result<()> {
    std::fs::create_dir(folder)?;
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{}'\nPATH=${{PATH#*:}}\nexec curl \"$@\"\n",
        arguments.display()
    );
    let file = folder.join("curl");
    std::fs::write(&file, script)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// As the README shows it, but for addresses and the private CA.
async fn the_readmes_kubeconfig(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let readme = std::fs::read_to_string(example("../README.md"))?;
    let shown = readme
        .split("```")
        .find_map(|block| {
            block
                .strip_prefix("yaml\n")
                .filter(|yaml| yaml.contains("kind: Config"))
        })
        .context("the README shows no kubeconfig")?;
    let with_ca = format!(
        "cluster: {{certificate-authority: {}, server:",
        chain.ca_file().display()
    );
    let kubeconfig = shown
        .replace("cluster: {server:", &with_ca)
        .replace("https://prod.clusters.example.com", &chain.url_by_host())
        .replace(
            "https://clusters.example.com/clusters/prod",
            &chain.url_by_path(),
        );
    let file = chain.folder().join("culvert.kubeconfig");
    std::fs::write(&file, kubeconfig)?;
    std::fs::write(
        chain.folder().join("access-token"),
        chain.access_token.expose(),
    )?;
    for context in ["prod", "prod-by-path"] {
        let output = Command::new(environment.kubernetes().await?.kubectl())
            .arg("--kubeconfig")
            .arg(&file)
            .args(["--context", context, "get", "pods", "--all-namespaces"])
            .env("HTTPS_PROXY", chain.connect_proxy())
            .env("HOME", chain.folder())
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .output()
            .await?;
        let (_, err) = texts(&output);
        ensure!(output.status.success(), "{context}: {err}");
    }
    chain.stop().await
}
