//! tunnel-server in a cluster, by its manifests: a connector links to its Service,
//! and callers come from outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::connect_proxy::ConnectProxy;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::rendered::manifests;
use integration::server_config::ServerConfig;
use integration::wait::until;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tunnel_protocol::token::Token;

use crate::authority::certify;
use crate::caller::Caller;
use crate::connector::{Connector, Destination, copy_tree};
use crate::desk::Desk;
use crate::stage::{SOON, Set, Stage};
use crate::workload::LABEL;

const NAMESPACE: &str = "server-inside";
/// The Service's name, as pods reach it.
const BASE: &str = "tunnel-server.server-inside.svc";

pub(crate) async fn a_connector_links_to_the_servers_service(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let desk = Desk::new(set, NAMESPACE).await?;
    let (connector, token) = Connector::named(set, "inside");
    certify(BASE, &desk.folder, &desk.folder.join("ca.crt"))?;
    write_overlay(&desk, &connector, &token)?;
    desk.types("kubectl apply --server-side --kustomize .")
        .await?;
    desk.types(&secret_command()?).await?;
    desk.types(&rollout()).await?;

    let destination = Destination {
        url: format!("https://{BASE}"),
        ca_file: desk.folder.join("ca.crt"),
    };
    connector.write_overlay(set, &[], &destination, &token)?;
    connector.apply_overlay(set).await?;
    connector.ready(set).await?;
    let forward = Forward::start(set).await?;
    let caller = forward.caller(&connector, &destination)?;
    let pods = caller
        .kubectl(&["get", "pods", "--namespace=kube-system", "--output=name"])
        .await?;
    ensure!(pods.contains("pod/kube-apiserver-"), "{pods}");

    a_change_of_the_map_takes_effect(&desk, &caller).await?;
    let log = desk
        .types(&format!(
            "kubectl logs -n {NAMESPACE} deployment/tunnel-server"
        ))
        .await?;
    set.secrets
        .must_not_be_in("the log of the server inside", &log)?;
    connector.remove(set).await?;
    desk.types("kubectl delete --wait=false --kustomize .")
        .await
        .map(drop)
}

/// A copy of the manifests, with what is to be one's own.
fn write_overlay(desk: &Desk, connector: &Connector, token: &Token) -> Result<()> {
    copy_tree(&manifests("server"), &desk.folder.join("server"))?;
    write_config(desk, connector, token)?;
    std::fs::write(
        desk.folder.join("kustomization.yaml"),
        format!(
            "resources: [server/base]\n\
             namespace: {NAMESPACE}\n\
             configMapGenerator:\n\
             - name: tunnel-server\n\
             \x20 namespace: culvert\n\
             \x20 behavior: replace\n\
             \x20 files: [tunnel-server.yaml]\n\
             patches:\n\
             - patch: '[{{\"op\": \"add\", \"path\": \"/metadata/labels/{}\", \"value\": \"\"}}]'\n\
             \x20 target: {{kind: Namespace}}\n",
            LABEL.replace('/', "~1")
        ),
    )?;
    Ok(())
}

/// The base's own file, with a domain, a cluster and a caller.
fn write_config(desk: &Desk, connector: &Connector, token: &Token) -> Result<()> {
    let base = std::fs::read_to_string(manifests("server/base/tunnel-server.yaml"))?;
    let mut config: Value = serde_saphyr::from_str(&base)?;
    let mut ours = ServerConfig::new(BASE, "");
    ours.cluster(&connector.name, &[token]);
    ours.caller("ci", &[&connector.name], &[&connector.access_token]);
    config["baseDomain"] = BASE.into();
    config["clusters"] = ours.clusters.into();
    config["callers"] = ours.callers.into();
    let file = desk.folder.join("tunnel-server.yaml");
    Ok(std::fs::write(file, format!("{config:#}"))?)
}

/// As the base's first lines tell.
fn secret_command() -> Result<String> {
    let kustomization = std::fs::read_to_string(manifests("server/base/kustomization.yaml"))?;
    let command = kustomization
        .lines()
        .find_map(|line| line.strip_prefix("#   kubectl create secret "))
        .context("the base shows no command")?;
    Ok(format!("kubectl create secret {command}")
        .replace("--namespace culvert", &format!("--namespace {NAMESPACE}")))
}

fn rollout() -> String {
    let seconds = SOON.as_secs();
    format!("kubectl rollout status deployment/tunnel-server -n {NAMESPACE} --timeout={seconds}s")
}

/// The ConfigMap is the file that the server watches: kubelet brings it there.
async fn a_change_of_the_map_takes_effect(desk: &Desk, caller: &Caller) -> Result<()> {
    let file = desk.folder.join("tunnel-server.yaml");
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
    config["callers"] = serde_json::json!([]);
    std::fs::write(&file, format!("{config:#}"))?;
    desk.types("kubectl apply --server-side --kustomize .")
        .await?;
    // kubelet looks once a minute, and at once when something about the pod changes.
    desk.types(&format!(
        "kubectl annotate pods --all --namespace {NAMESPACE} looked=at"
    ))
    .await?;
    until("the change", 2 * SOON, || async {
        let output = caller
            .output(crate::caller::Streams::WebSocket, &["get", "pods"])
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        Ok(said.contains("You must be logged in").then_some(()))
    })
    .await
}

/// From outside, past DNS.
struct Forward {
    _kubectl: Child,
    /// It ends where nobody hears what it says.
    _said: Lines<BufReader<ChildStdout>>,
    proxy: ConnectProxy,
    kubeconfig: PathBuf,
}

impl Forward {
    async fn start(set: &Set) -> Result<Self> {
        let namespace = format!("--namespace={NAMESPACE}");
        let mut kubectl = Command::from(set.cluster.kubectl())
            .args(["port-forward", "service/tunnel-server", ":443", &namespace])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(kubectl.stdout.take().context("stdout")?).lines();
        let line = lines.next_line().await?.context("kubectl has ended")?;
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(' ').next())
            .with_context(|| line.clone())?;
        let address: SocketAddr = address.parse()?;
        Ok(Self {
            _kubectl: kubectl,
            _said: lines,
            proxy: ConnectProxy::start(address).await?,
            kubeconfig: set.folder().join("inside.kubeconfig"),
        })
    }

    fn caller(&self, connector: &Connector, destination: &Destination) -> Result<Caller> {
        Caller::with(
            &Kubeconfig {
                server: &format!("https://{}.{BASE}", connector.name),
                ca_file: &destination.ca_file,
                credential: Credential::Token(connector.access_token.expose()),
                proxy_url: Some(&self.proxy.url()),
            },
            self.kubeconfig.clone(),
        )
    }
}
